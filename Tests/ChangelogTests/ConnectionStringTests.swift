import Testing

@testable import Changelog

@Suite struct ConnectionStringTests {
    /// What is wrong with `text`; nil where nothing is.
    private func reason(_ text: String) -> String? {
        do {
            _ = try ConnectionString(text)
            return nil
        } catch {
            guard case .badConnectionString(let reason) = error else {
                Issue.record("\(error)")
                return nil
            }
            return reason
        }
    }

    @Test("what libpq takes is taken as it is, and what clearly is meant is put right")
    func wellFormed() throws {
        for text in [
            "", "host=/tmp port=5432 user=u dbname=d password='a b\\'c\\\\'", "user = u  password = a\\ b", "postgres://",
            "postgresql:///d",
            "postgres://u@h:1,h2:2/d?target_session_attrs=read-write&sslmode=require&", "postgres://u:p%40%2f@[::1]:5432,[fe80::1]/d",
            "postgres://%2Fvar%2Frun/d?user=me%40server", "postgres:///d?host=/tmp&user=me@server&ssl=true", "postgres://u:a:b?c#d=e&f@h",
            "service=s", "host=@abstract,@other", "host=/run/user@1000",
        ] {
            #expect(try ConnectionString(text).text == text)
        }
        for given in [
            "Postgres://u@h/d", " postgres://u@h/d", "\"postgres://u@h/d\"\n", "'POSTGRES://u@h/d'", "\t ` postgres://u@h/d `",
        ] {
            #expect(try ConnectionString(given).text == "postgres://u@h/d", "\(given)")
        }
        #expect(try ConnectionString("POSTGRESQL://h").text == "postgresql://h")
    }

    @Test("what is wrong is said in words that an operator can act on")
    func reasons() {
        for (text, part) in [
            ("mysql://u:SECRET@h/d", "mysql:// is not a scheme of PostgreSQL"), ("jdbc:postgresql://h/d", "jdbc:postgresql:// is not"),
            ("postgresql+psycopg2://u:SECRET@h", "postgresql+psycopg2://"), ("u:SECRET@h/d", "neither a URL"), ("d", "neither a URL"),
            ("postgres:u:SECRET@h/d", "neither a URL"), ("postgres://u:SECRET%@h/d", "percent-encoded"),
            ("postgres://u:SECRET%00@h", "percent-encoded"), ("postgres://u:a/SECRET@h/d", "@ as %40, / as %2F"),
            ("postgres://u:a@SECRET@h/d", "percent-encoded"), ("postgres://u:SECRET", "the port is not a number"),
            ("postgres://h:65536", "the port is not a number"), ("host=h port=x", "the port is not a number"),
            ("postgres://[::1", "in brackets"), ("postgres://h?nonsense=1", "invalid connection option \"nonsense\""),
            ("postgres://h?a", "parameter=value"), ("postgres://h?user=a=b", "parameter=value"),
            ("host=h prt=1", "invalid connection option \"prt\""), ("password=a secret=b", "neither a URL"),
            ("password='a", "single quotes"), ("dbname=postgres://u:SECRET@h/d", "dbname must be"), ("host=u:SECRET@h", "host must be"),
            ("host=h\0", "zero byte"),
        ] {
            let found = reason(text)
            #expect(found?.contains(part) == true, "\(text): \(found ?? "nothing")")
            #expect(found?.contains("SECRET") != true, "\(found ?? "")")
        }
    }

    /// All texts of at most `length` of the characters that mean something to somebody.
    private func pieces(_ length: Int) -> [String] {
        if length == 0 { return [""] }
        let shorter = pieces(length - 1)
        return shorter + shorter.filter { $0.count == length - 1 }.flatMap { piece in "@/:?#%&=,[]'\\ ".map { piece + String($0) } }
    }

    @Test("wherever a password is cut by a character of its own, no piece of it is shown")
    func everyPassword() throws {
        for before in pieces(2) {
            for after in pieces(1) {
                let password = "x\(before)SECRET\(after)y"
                for text in [
                    "postgres://u:\(password)@h/d?connect_timeout=3", "host=h password=\(password) user=u", "mysql://u:\(password)@h",
                ] {
                    if let reason = reason(text) {
                        #expect(!reason.contains("SECRET"), "\(text): \(reason)")
                    } else {
                        // libpq then takes no other text for the password than we do.
                        let shown = Secrets.hidden(in: "could not \(password)")
                        #expect(!shown.contains("SECRET"), "\(text): \(shown)")
                    }
                    let masked = Secrets.masked(text)
                    #expect(!masked.contains("SECRET") && masked.utf8.count <= text.utf8.count, "\(text): \(masked)")
                }
            }
        }
    }

    @Test("passwords are masked in arguments, and nothing else is")
    func masks() {
        for (text, masked) in [
            ("postgres://user:secret@host/db?sslmode=require", "postgres://user:***@host/db?sslmode=require"),
            ("--postgres=Postgres://u:p@h", "--postgres=Postgres://u:*@h"), ("postgres://u:SECRET", "postgres://u:***"),
            ("host=h password=SECRET dbname=d", "host=h password=*** dbname=d"), ("password = 'a b' user=u", "password = *** user=u"),
            ("postgres://u@h/d?password=SECRET&user=x", "postgres://u@h/d?password=***&user=x"),
            ("postgres://h/d?sslpassword=SECRET", "postgres://h/d?sslpassword=***"), ("http://u:SECRET@h", "http://u:***@h"),
        ] {
            #expect(Secrets.masked(text) == masked)
        }
        for text in [
            "postgres://u@h:5432/d", "postgres://h:1,h:2/d", "http://127.0.0.1:2379,http://127.0.0.1:2380", "unix:///run/x.sock", "--name",
            "host=h user=u passfile=/f", "/etc/password", "",
        ] {
            #expect(Secrets.masked(text) == text)
        }
    }

    @Test("a password that is a name too, or too short to be one, hides nothing that errors have to tell")
    func weakPasswords() throws {
        _ = try ConnectionString("postgres://weak-role:weak-role@h/weak-base?sslpassword=weak-base")
        _ = try ConnectionString("user=u password=ab")
        _ = try ConnectionString("user=u password=password")
        let text = "role weak-role, database weak-base, ab, password authentication failed"
        #expect(Secrets.hidden(in: text) == text)
        _ = try ConnectionString("user=u password='strong enough'")
        #expect(Secrets.hidden(in: "not strong enough for it") == "not *** for it")
    }
}
