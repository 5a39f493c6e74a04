// Owns: the list of the files in migrations/, compiled in. A test compares it with the folder.

/// One numbered step of the tables' history.
struct Migration {
    /// Counts from 1 without gaps; the first four digits of the file's name.
    let version: Int
    /// The file's name without its number and ending.
    let name: String
    let sql: String

    private init(_ version: Int, _ name: String, _ bytes: [UInt8]) {
        self.version = version
        self.name = name
        sql = String(decoding: bytes, as: UTF8.self)
    }

    static let all = [
        Migration(1, "log", PackageResources._001_log_sql), Migration(2, "views", PackageResources._002_views_sql),
        Migration(3, "upkeep", PackageResources._003_upkeep_sql), Migration(4, "values", PackageResources._004_values_sql),
        Migration(5, "vacuum", PackageResources._005_vacuum_sql), Migration(6, "deletions", PackageResources._006_deletions_sql),
        Migration(7, "digest_key", PackageResources._007_digest_key_sql), Migration(8, "users", PackageResources._008_users_sql),
    ]

    /// The version of the tables that this Pine works with.
    static let latest = all.count

    /// The text with the schema's name in the places where psql would put the variable `schema`.
    func sql(in schema: SchemaName) -> String {
        sql.components(separatedBy: #":"schema""#).joined(separator: schema.quoted)
    }
}

extension String {
    /// The pieces between the occurrences of `separator`.
    fileprivate func components(separatedBy separator: String) -> [Substring] {
        var pieces: [Substring] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            pieces.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return pieces + [rest]
    }
}
