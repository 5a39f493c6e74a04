// Checks that output ends where its buffer ends.
import Testing

@testable import HTTP2

@Suite("The cursor of output")
struct OutputCursorTests {
    @Test("what is appended stands there in order, and what is around it stays as it was")
    func appends() {
        var memory = [UInt8](repeating: 0xEE, count: 12)
        memory.withUnsafeMutableBytes {
            var output = OutputCursor(UnsafeMutableRawBufferPointer(rebasing: $0[2..<8]))
            for piece: [UInt8] in [[1, 2], [], [3, 4, 5], [6]] {
                let room = output.room
                piece.withUnsafeBytes { bytes in
                    if let base = bytes.baseAddress { output.append(base, count: piece.count) }
                }
                #expect(output.room == room - piece.count)
            }
            #expect(output.count == 6 && output.room == 0)
        }
        #expect(memory == [0xEE, 0xEE, 1, 2, 3, 4, 5, 6, 0xEE, 0xEE, 0xEE, 0xEE])
    }

    @Test("a byte too many traps before it is written, as does one where nothing is produced")
    func full() async {
        await #expect(processExitsWith: .failure) {
            var memory = [UInt8](repeating: 0, count: 8)
            memory.withUnsafeMutableBytes {
                var output = OutputCursor(UnsafeMutableRawBufferPointer(rebasing: $0[..<4]))
                output.append([1, 2, 3, 4, 5], count: 5)
            }
        }
        await #expect(processExitsWith: .failure) {
            var output = OutputCursor()
            output.append([1], count: 1)
        }
    }
}
