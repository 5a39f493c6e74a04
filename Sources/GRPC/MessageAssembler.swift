// Owns: the length-prefixed messages of one stream's input (gRPC over HTTP/2, "Length-Prefixed-Message").
// Must never: reserve memory for bytes that were only announced.
internal import Bytes

/// Cuts a stream of bytes into messages: a flag byte, a length of four bytes in network order, and that many bytes.
struct MessageAssembler: ~Copyable {
    private static let prefixSize = 5
    /// What a message that isn't there yet gets at first, unless it is smaller.
    private static let firstCapacity = 4_096

    private var prefix: UInt64 = 0
    private var prefixCount = 0
    /// The message's length, once the prefix is complete.
    private var length = 0
    private var partial: ByteWriter?
    /// Bytes of an incomplete message that are kept.
    private(set) var bufferedCount = 0

    enum Outcome: Equatable {
        /// All bytes are used up, and no message is complete.
        case needsMore
        case message(ByteString, isCompressed: Bool)
        /// The prefix announces more than the limit.
        case tooLarge(length: Int)
        /// The flag byte is neither 0 nor 1.
        case unknownFlag(UInt8)
    }

    /// Whether the input may end here.
    var isBetweenMessages: Bool { prefixCount == 0 }

    /// Takes what it can use off the front of `bytes`. After `tooLarge` and `unknownFlag` the input makes no sense any more.
    mutating func take(_ bytes: inout UnsafeRawBufferPointer, limit: Int) -> Outcome {
        while prefixCount < MessageAssembler.prefixSize {
            guard let byte = bytes.first else { return .needsMore }
            prefix = prefix << 8 | UInt64(byte)
            prefixCount += 1
            bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
            if prefixCount == MessageAssembler.prefixSize {
                length = Int(prefix & 0xFFFF_FFFF)
                let flag = UInt8(truncatingIfNeeded: prefix >> 32)
                if flag > 1 { return .unknownFlag(flag) }
                if length > limit { return .tooLarge(length: length) }
            }
        }
        if bufferedCount == 0 && bytes.count >= length {
            let message = ByteString(copying: UnsafeRawBufferPointer(rebasing: bytes.prefix(length)))
            return finish(message, dropping: length, from: &bytes)
        }
        if partial == nil {
            partial = ByteWriter(capacity: min(length, max(bytes.count, MessageAssembler.firstCapacity)))
        }
        let taken = min(bytes.count, length - bufferedCount)
        // Its last size is its own, so that a value in it can be kept where it lies.
        partial!.reserve(taken, upTo: length)
        partial!.append(UnsafeRawBufferPointer(rebasing: bytes.prefix(taken)))
        bufferedCount += taken
        if bufferedCount < length {
            bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(taken))
            return .needsMore
        }
        let message = partial.take()!.finish()
        return finish(message, dropping: taken, from: &bytes)
    }

    private mutating func finish(
        _ message: ByteString, dropping taken: Int, from bytes: inout UnsafeRawBufferPointer
    ) -> Outcome {
        bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(taken))
        let isCompressed = prefix >> 32 == 1
        reset()
        return .message(message, isCompressed: isCompressed)
    }

    /// Forgets what came so far.
    mutating func reset() {
        prefix = 0
        prefixCount = 0
        length = 0
        bufferedCount = 0
        partial = nil
    }
}
