// Owns: a list of addresses, as flags take it.
import ArgumentParser
import Foundation

/// Addresses, comma-separated.
struct AddressList: ExpressibleByArgument {
    let urls: [String]

    init?(argument: String) {
        urls = argument.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    init(_ url: String) { urls = [url] }

    var defaultValueDescription: String { urls.joined(separator: ",") }
}
