// Owns: decoding of what servers and load generators decode most, compiled for the very type. Functions of package access do
// not cross targets as source, so a caller elsewhere would otherwise run the generic code with its witness tables.
package import Bytes

extension RangeRequest {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension PutRequest {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension DeleteRangeRequest {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension TxnRequest {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension WatchRequest {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension LeaseKeepAliveRequest {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension RangeResponse {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension PutResponse {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension DeleteRangeResponse {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension TxnResponse {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension WatchResponse {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}

extension RangeStreamResponse {
    package static func decode(_ bytes: ByteString) throws(DecodeError) -> Self { try decodeGenerically(bytes) }
}
