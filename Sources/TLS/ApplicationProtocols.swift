// Owns: what is spoken inside TLS, by ALPN's names (RFC 7301).

package struct ApplicationProtocols: Sendable, Equatable {
    /// ALPN's wire form: each name after its length.
    let wire: [UInt8]

    /// The preferred one first.
    package init(_ names: [String]) { wire = names.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } }

    /// Where in `offered`, a client's list in wire form, the name is of the first of ours that is there too.
    func choose(_ offered: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
        wire.withUnsafeBufferPointer { ours in
            var start = 0
            while start < ours.count {
                let wanted = UnsafeBufferPointer(rebasing: ours[start...(start + Int(ours[start]))])
                var index = 0
                while index < offered.count, index + Int(offered[index]) < offered.count {
                    let name = UnsafeBufferPointer(rebasing: offered[index...(index + Int(offered[index]))])
                    if name.elementsEqual(wanted) { return UnsafeBufferPointer(rebasing: name.dropFirst()) }
                    index += name.count
                }
                start += wanted.count
            }
            return nil
        }
    }
}
