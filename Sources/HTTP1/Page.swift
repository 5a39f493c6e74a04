// Owns: what is asked and answered outside of calls: by probes, scrapers and people.
// Must never: trap on what a peer sends.
package import NIOCore

/// A request, up to its body, which pages don't look at.
package struct PageRequest: Sendable, Hashable {
    package struct Parameter: Sendable, Hashable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// `GET`, `HEAD`, ...
    package var method: String
    /// Percent-decoded, without the query.
    package var path: String
    package var query: [Parameter]
    /// As it stands behind the question mark; nil where there is none.
    package var rawQuery: String?
    package var fields: RequestFields

    /// `target`: a path, perhaps with a query, as it stands in the request line or in `:path`.
    package init(method: String, target: String, fields: RequestFields = RequestFields()) {
        self.method = method
        self.fields = fields
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = PageRequest.decoded(parts.first ?? "", plusIsSpace: false)
        rawQuery = parts.count > 1 ? String(parts[1]) : nil
        query = (parts.count > 1 ? parts[1] : "").split(separator: "&").map { pair in
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return Parameter(
                PageRequest.decoded(sides[0], plusIsSpace: true),
                sides.count > 1 ? PageRequest.decoded(sides[1], plusIsSpace: true) : "")
        }
    }

    package func has(_ name: String) -> Bool { query.contains { $0.name == name } }

    /// The values of a parameter that may be there several times.
    package func values(_ name: String) -> [String] { query.filter { $0.name == name }.map(\.value) }

    /// `%HH` made plain; what is no such escape stays as it is.
    private static func decoded(_ text: Substring, plusIsSpace: Bool) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return String(text) }
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "%"), index + 2 < bytes.count, let high = hexDigit(bytes[index + 1]),
                let low = hexDigit(bytes[index + 2])
            {
                result.append(high << 4 | low)
                index += 3
                continue
            }
            result.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            index += 1
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

package struct PageResponse: Sendable, Hashable {
    package struct Field: Sendable, Hashable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package var status: Int
    package var body: String
    /// Names in small letters. Content-length, date and connection are the connection's business.
    package var fields: [Field]

    package init(status: Int, contentType: String? = "text/plain; charset=utf-8", body: String, fields: [Field] = []) {
        self.status = status
        self.body = body
        self.fields = (contentType.map { [Field("content-type", $0)] } ?? []) + fields
    }

    /// An error as Go's net/http writes it.
    package static func error(_ status: Int, _ text: String, fields: [Field] = []) -> PageResponse {
        PageResponse(status: status, body: text + "\n", fields: fields + [Field("x-content-type-options", "nosniff")])
    }

    package static let notFound = error(404, "404 page not found")

    /// For a page that is there to be read only.
    package static let methodNotAllowed = error(405, "Method Not Allowed", fields: [Field("allow", "GET")])
}

/// Makes pages. Called on an event loop, whose future it gives; must not block.
package typealias Pages = @Sendable (PageRequest, any EventLoop) -> EventLoopFuture<PageResponse>
