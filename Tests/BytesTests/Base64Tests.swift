internal import Bytes
internal import Foundation
internal import Testing

@Suite struct Base64Tests {
    @Test("every length comes back, in one spelling only")
    func url() {
        for count in 0..<40 {
            let bytes = ByteString((0..<count).map { UInt8(truncatingIfNeeded: $0 * 167 + 250) })
            let text = Base64.encodeForURL(bytes)
            let standard = Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
            #expect(text == ByteString(standard))
            #expect(Base64.decodeForURL(text) == bytes)
        }
        for text in ["A", "AAAAA", "AB", "AAB", "AA=", "A+", "A/", "A A"] as [ByteString] { #expect(Base64.decodeForURL(text) == nil) }
    }

    @Test("the standard alphabet is read as Go reads it")
    func standard() {
        for count in 0..<40 {
            let bytes = ByteString((0..<count).map { UInt8(truncatingIfNeeded: $0 * 167 + 250) })
            #expect(Base64.decodeStandard(ByteString(Data(bytes).base64EncodedString())) == bytes)
        }
        #expect(Base64.decodeStandard("SGVs\r\nbG8=\n") == "Hello")
        #expect(Base64.decodeStandard("AB==") == ByteString([0]))
        for text in ["not base64!", "AA", "AAA", "A===", "====", "AA=A", "AAAA=", "AA==AAAA", "-_-_"] as [ByteString] {
            #expect(Base64.decodeStandard(text) == nil, "\(text)")
        }
    }
}
