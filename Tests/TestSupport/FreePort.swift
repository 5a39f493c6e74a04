// Owns: the choice of TCP ports. Must never: give the same port twice in one process.
// Invariant: ports lie below the kernel's ephemeral range, so that no outgoing connection takes one between its choice
// here and the server's bind, nor while a server that a test killed is down.
internal import Glibc
internal import Synchronization

private let given = Mutex<Set<Int>>([])

/// A TCP port of 127.0.0.1 that nobody listens on, and that this function never gives again in this process.
package func freePort() throws -> Int {
    for _ in 0..<1_000 {
        let port = Int.random(in: 10_240..<32_000)
        guard given.withLock({ $0.insert(port).inserted }) else { continue }
        if canBind(port) { return port }
    }
    throw TestSupportError("no free TCP port found between 10240 and 32000 on 127.0.0.1")
}

private func canBind(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}
