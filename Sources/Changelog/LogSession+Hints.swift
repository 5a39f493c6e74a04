// Owns: LISTEN and NOTIFY: how a process hears early that another has appended. Only ever a hint.

extension LogSession {
    func listen() throws(LogError) {
        _ = try connection.run(
            Statement("listen \(settings.schema.quotedChannel)"), within: settings.limits.readLimit)
    }

    func hintOthers() throws(LogError) {
        _ = try connection.run(
            statements.hint, .build { $0.add(text: settings.schema.channel) }, within: settings.limits.readLimit)
    }
}
