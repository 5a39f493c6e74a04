internal import Bytes
internal import Foundation
internal import Testing

@Suite("Text in the formats that Pine writes") struct QuotedTests {
    /// Every ASCII character, and some beyond.
    private let everything = String(String.UnicodeScalarView((1..<0x80).map { Unicode.Scalar($0)! })) + "äß→🌲\r\n"

    @Test("JSON comes back, on one line")
    func json() throws {
        let text = Quoted.json(everything)
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
        #expect(value as? String == everything)
        #expect(text.utf8.allSatisfy { $0 >= 0x20 })
        #expect(Quoted.json("a\"\\\n\t\u{1}") == #""a\"\\\n\t\u0001""#)
        #expect(Quoted.json("") == "\"\"")
    }

    @Test("messages are printable ASCII")
    func printable() {
        #expect(Quoted.printable("a \"b\" \\ \u{1}\u{7F}ä🌲") == #""a \"b\" \\ \x01\x7f\u{e4}\u{1f332}""#)
        #expect(Quoted.printable(everything).utf8.allSatisfy { (0x20...0x7E).contains($0) })
    }

    @Test("PostgreSQL reads names and values as they were")
    func postgres() {
        #expect(Quoted.sqlIdentifier("a\"b'\\") == #""a""b'\""#)
        #expect(Quoted.postgresSetting("a'b\\c\"") == #"'a''b\\c"'"#)
        #expect(Quoted.connectionValue("/var/run-1.2:a@b") == "/var/run-1.2:a@b")
        #expect(Quoted.connectionValue("a b'\\") == #"'a b\'\\'"#)
        #expect(Quoted.connectionValue("") == "''")
        #expect(Quoted.connectionValue("ä") == "'ä'")
    }

    @Test("a part of a character is escaped, too")
    func characters() {
        #expect(Quoted.prometheusHelp("a\r\nb") == "a\r\\nb")
        #expect(Quoted.json("\r\n") == #""\r\n""#)
        #expect(Quoted.sqlIdentifier("\"\u{301}").unicodeScalars.count == 5)
    }

    @Test("Prometheus's labels and help, and HTML")
    func pages() {
        #expect(Quoted.prometheusLabel("a\\b\"c\nd") == #"a\\b\"c\nd"#)
        #expect(Quoted.prometheusHelp("a\\b\"c\nd") == #"a\\b"c\nd"#)
        #expect(Quoted.html("<a b=\"c\">&") == "&lt;a b=&quot;c&quot;&gt;&amp;")
    }
}
