// Owns: finding an installed PostgreSQL. Must never: take one older than `oldestMajor`, or mix the programs of two.
internal import Glibc

/// The programs of one installed PostgreSQL.
package struct PostgresBinaries: Sendable, Equatable {
    /// The folder with `postgres` and `initdb`.
    package let folder: String
    /// For example 15.
    package let major: Int

    package static let oldestMajor = 13

    var postgres: String { "\(folder)/postgres" }
    var initdb: String { "\(folder)/initdb" }

    /// Finds the newest usable PostgreSQL, or the one of version `major`, since a cluster can be run by its own version only.
    /// `folder` (`--postgres-bin-dir`) is the only place looked at where it is given.
    static func find(
        folder: String?, major: Int?, cluster: String, candidates: () async -> [String] = candidates
    ) async throws(EmbeddedPostgresError) -> PostgresBinaries {
        var found: [PostgresBinaries] = []
        var tooOld: [Int] = []
        let places = if let folder { [folder] } else { await candidates() }
        for place in places {
            guard let binaries = await examine(place), !found.contains(where: { $0.major == binaries.major }) else { continue }
            if binaries.major < oldestMajor { tooOld.append(binaries.major) } else { found.append(binaries) }
        }
        guard !found.isEmpty else { throw missing(folder: folder, tooOld: tooOld) }
        guard let major else { return found.max { $0.major < $1.major }! }
        if let same = found.first(where: { $0.major == major }) { return same }
        let installed = found.map { "\($0.major)" }.joined(separator: ", ")
        throw EmbeddedPostgresError(
            .otherVersion,
            "\(cluster) was made by PostgreSQL \(major), but \(folder ?? "this machine") has \(installed): install PostgreSQL \(major) "
                + "(for example apt-get install postgresql-\(major)), or convert the folder with pg_upgrade")
    }

    private static func examine(_ folder: String) async -> PostgresBinaries? {
        let postgres = "\(folder)/postgres"
        guard access(postgres, X_OK) == 0, access("\(folder)/initdb", X_OK) == 0,
            let result = try? await Tool.run(postgres, ["-V"]), result.succeeded, let major = version(result.output)
        else { return nil }
        return PostgresBinaries(folder: folder, major: major)
    }

    /// The major version in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "… 18beta1" or "… 9.6.24".
    static func version(_ text: String) -> Int? {
        guard let after = text.firstRange(of: "(PostgreSQL) ") else { return nil }
        return Int(text[after.upperBound...].prefix { $0.isASCII && $0.isNumber })
    }

    /// Where distributions and people put PostgreSQL, best first among those of one version.
    static func candidates() async -> [String] {
        var places = (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":").map(String.init)
        let pgConfigs: [String] = places.map { "\($0)/pg_config" }
        if let pgConfig = pgConfigs.first(where: { access($0, X_OK) == 0 }),
            let result = try? await Tool.run(pgConfig, ["--bindir"]), result.succeeded
        {
            places.append(result.output.trimmed)
        }
        // Debian and Ubuntu; Fedora and Red Hat with PGDG's packages; Alpine; from source; Homebrew on ARM and on Intel.
        places += versions(under: "/usr/lib/postgresql").map { "\($0)/bin" }
        places += versions(under: "/usr", prefix: "pgsql-").map { "\($0)/bin" }
        places += versions(under: "/usr/libexec", prefix: "postgresql")
        places += ["/usr/local/pgsql/bin"]
        for homebrew in ["/opt/homebrew/opt", "/usr/local/opt"] {
            places += versions(under: homebrew, prefix: "postgresql").map { "\($0)/bin" }
        }
        return places
    }

    private static func versions(under folder: String, prefix: String = "") -> [String] {
        Files.list(folder).filter { $0.hasPrefix(prefix) }.map { "\(folder)/\($0)" }
    }

    private static func missing(folder: String?, tooOld: [Int]) -> EmbeddedPostgresError {
        let what =
            if let folder {
                "\(folder) (--postgres-bin-dir) has no usable postgres and initdb"
            } else if let version = tooOld.max() {
                "PostgreSQL \(version) is too old"
            } else {
                "PostgreSQL is not installed"
            }
        return EmbeddedPostgresError(
            .binariesMissing,
            "\(what): version \(oldestMajor) or newer is needed; install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install "
                + "postgresql-server; Alpine: apk add postgresql; macOS: brew install postgresql@17), or give --postgres URL of a running one"
        )
    }
}
