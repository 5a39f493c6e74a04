// Owns: the flag that names the settings file. Settings reads the file, before ArgumentParser sees any flag.
import ArgumentParser

struct SettingsOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A YAML file with settings, `flag-name: value` a line. Flags and PINE_* variables win over it.", valueName: "file"))
    var configFile: String?
}
