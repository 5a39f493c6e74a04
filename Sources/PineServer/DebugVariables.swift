// Owns: `/debug/vars`: what Go's expvar shows of etcd, as far as it is there.
// Must never: show the command line, which may have passwords in it.
internal import HTTP1
internal import NIOCore
internal import NIOPosix

enum DebugVariables {
    /// Made on a thread of NIO's pool, since the numbers are in files.
    static func page(on eventLoop: any EventLoop) -> EventLoopFuture<PageResponse> {
        NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) {
            PageResponse(status: 200, contentType: "application/json; charset=utf-8", body: text(ProcessStatus()))
        }
    }

    /// One variable a line, in the order of their names, as expvar writes them.
    static func text(_ status: ProcessStatus) -> String {
        // Of Go's many numbers those that mean the same here. `Sys` is what was taken from the system, `HeapInuse` what of it is in memory.
        let memory = [("Sys", status.virtualBytes), ("HeapInuse", status.residentBytes)].compactMap { name, bytes in
            bytes.map { "\"\(name)\":\($0)" }
        }
        let variables = [
            ("cmdline", "[\"pine\"]"), ("file_descriptor_limit", status.descriptorLimit.map { "\($0)" }),
            ("memstats", "{\(memory.joined(separator: ","))}"),
        ].compactMap { name, value in value.map { "\"\(name)\": \($0)" } }
        return "{\n" + variables.joined(separator: ",\n") + "\n}\n"
    }
}
