// Owns: the arguments of this process as every user of the machine can read them (ps, /proc/PID/cmdline).
// Must never: touch memory other than that which the kernel names as the arguments'.
// Invariant: the arguments keep their number, their order and their places.
import Changelog
import Foundation

enum ProcessArguments {
    /// Overwrites passwords in the arguments. Gives what the operator should hear where there was one.
    static func hidePasswords() -> String? {
        // Swift's copies are made at their first use, which must be past by now.
        let arguments = CommandLine.arguments
        guard arguments.contains(where: { Secrets.masked($0) != $0 }) else { return nil }
        let outcome =
            overwrite()
            ? "pine has overwritten it there, but for a moment it was visible" : "where every user of this machine can read it"
        return "a password was given as an argument, which shows in the process list: \(outcome); use --postgres-file, PGPASSFILE or "
            + "PINE_POSTGRES instead"
    }

    /// proc(5), /proc/PID/stat: fields 48 and 49 are the addresses of the arguments' first byte and of the one behind their last.
    private static func overwrite() -> Bool {
        guard let stat = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8), let name = stat.lastIndex(of: ")") else {
            return false
        }
        // Field 3 is the first behind the name.
        let fields = stat[stat.index(after: name)...].split(separator: " ")
        guard fields.count > 46, let start = UInt(fields[45]), let end = UInt(fields[46]), start < end,
            let base = UnsafeMutablePointer<UInt8>(bitPattern: start)
        else { return false }
        let memory = UnsafeMutableBufferPointer(start: base, count: Int(end - start))
        for argument in memory.split(separator: 0) {
            let masked = Array(Secrets.masked(String(decoding: argument, as: UTF8.self)).utf8)
            guard !masked.elementsEqual(argument), masked.count <= argument.count else { continue }
            let blanks = repeatElement(UInt8(ascii: " "), count: argument.count - masked.count)
            for (index, byte) in zip(argument.indices, masked + blanks) { memory[index] = byte }
        }
        return true
    }
}
