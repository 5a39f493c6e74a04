// Owns: what the values of flags look like, for the messages that refuse one.

/// What a value must look like, for the message that says that one doesn't; by the value's name in the help.
let valueForms: [String: String] = [
    "duration": "a duration is like 500ms, 10s, 5m or 1h30m",
    "bytes": "a size is a number of bytes, or like 64MiB or 2GiB",
    "count": "it must be a whole number, at least 1",
    "level": "it is one of trace, debug, info, warn, error",
    "format": "it is text or json",
]
