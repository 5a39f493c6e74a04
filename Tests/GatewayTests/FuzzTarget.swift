// Owns: the property that the fuzzer and the replay of its seeds check. Compiled into the tests, and by scripts/fuzz into the
// fuzzer, so it imports nothing but what is tested.
internal import Bytes
internal import Gateway

/// The first byte picks a message, the second a direction, the rest is converted. Answers what is wrong, or nil.
func conversionFailure(_ input: UnsafeRawBufferPointer) -> String? {
    guard input.count >= 2 else { return nil }
    let message = Int(input[0]) % Schema.messages.count
    let body = ByteString(copying: UnsafeRawBufferPointer(rebasing: input[2...]))
    let wire: ByteString
    if input[1] % 2 == 0 {
        guard let request = try? JSONToWire.convert(body, message: message) else { return nil }
        if request.end > body.count || request.message.count > 4 * body.count { return "a request ends or grows beyond its bounds" }
        wire = request.message
    } else {
        wire = body
    }
    // What JSON made must be JSON again, and the same message from then on. Zeros and the lengths of numbers may go.
    guard let text = json(wire, message) else { return input[1] % 2 == 0 ? "a request is no message of its schema: \(wire)" : nil }
    guard let again = try? JSONToWire.convert(text, message: message) else { return "an answer does not read: \(text)" }
    if input[1] % 2 == 0 && again.message != wire { return "a request changed on its way: \(wire), \(again.message)" }
    return json(again.message, message) == text ? nil : "an answer changed on its way: \(text)"
}

private func json(_ wire: ByteString, _ message: Int) -> ByteString? {
    var writer = ByteWriter()
    guard (try? WireToJSON.append(wire, message: message, to: &writer)) != nil else { return nil }
    return writer.finish()
}

#if PINE_FUZZER
    /// libFuzzer's entry point.
    @_cdecl("LLVMFuzzerTestOneInput")
    public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
        if let failure = conversionFailure(UnsafeRawBufferPointer(start: start, count: count)) { fatalError(failure) }
        return 0
    }
#endif
