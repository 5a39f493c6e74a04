// Owns: the property that the fuzzer and the replay of its seeds check. Compiled into the tests, and by scripts/fuzz into the
// fuzzer, so it imports nothing but what is tested.
internal import Bytes
internal import EtcdAPI

/// Every message of the wire API. The fuzzer's first byte is an index into this list, so new messages go last.
let allMessages: [any WireMessage.Type] = [
    HealthCheckRequest.self, HealthCheckResponse.self,
    Member.self, MemberAddRequest.self, MemberAddResponse.self, MemberRemoveRequest.self, MemberRemoveResponse.self,
    MemberUpdateRequest.self, MemberUpdateResponse.self, MemberListRequest.self, MemberListResponse.self,
    MemberPromoteRequest.self, MemberPromoteResponse.self, Compare.self, KeyValue.self, Event.self,
    LeaseGrantRequest.self, LeaseGrantResponse.self, LeaseRevokeRequest.self, LeaseRevokeResponse.self,
    LeaseKeepAliveRequest.self, LeaseKeepAliveResponse.self, LeaseTimeToLiveRequest.self, LeaseTimeToLiveResponse.self,
    LeaseLeasesRequest.self, LeaseStatus.self, LeaseLeasesResponse.self, DefragmentRequest.self,
    DefragmentResponse.self, HashRequest.self, HashResponse.self, HashKVRequest.self, HashKVResponse.self,
    SnapshotRequest.self, SnapshotResponse.self, MoveLeaderRequest.self, MoveLeaderResponse.self, RangeRequest.self,
    RangeResponse.self, RangeStreamResponse.self, RequestOp.self, TxnRequest.self, ResponseHeader.self, ResponseOp.self,
    TxnResponse.self, StatusRequest.self, StatusResponse.self, DowngradeInfo.self, AlarmRequest.self, AlarmMember.self,
    AlarmResponse.self, DowngradeRequest.self, DowngradeResponse.self, WatchCreateRequest.self, WatchCancelRequest.self,
    WatchProgressRequest.self, WatchResponse.self, WatchRequest.self, PutRequest.self, PutResponse.self,
    DeleteRangeRequest.self, DeleteRangeResponse.self, CompactionRequest.self, CompactionResponse.self,
    UserAddOptions.self, User.self, Permission.self, Role.self, AuthEnableRequest.self, AuthEnableResponse.self,
    AuthDisableRequest.self, AuthDisableResponse.self, AuthStatusRequest.self, AuthStatusResponse.self,
    AuthenticateRequest.self, AuthenticateResponse.self, AuthUserAddRequest.self, AuthUserAddResponse.self,
    AuthUserGetRequest.self, AuthUserGetResponse.self, AuthUserListRequest.self, AuthUserListResponse.self,
    AuthUserDeleteRequest.self, AuthUserDeleteResponse.self, AuthUserChangePasswordRequest.self,
    AuthUserChangePasswordResponse.self, AuthUserGrantRoleRequest.self, AuthUserGrantRoleResponse.self,
    AuthUserRevokeRoleRequest.self, AuthUserRevokeRoleResponse.self, AuthRoleAddRequest.self, AuthRoleAddResponse.self,
    AuthRoleGetRequest.self, AuthRoleGetResponse.self, AuthRoleListRequest.self, AuthRoleListResponse.self,
    AuthRoleDeleteRequest.self, AuthRoleDeleteResponse.self, AuthRoleGrantPermissionRequest.self,
    AuthRoleGrantPermissionResponse.self, AuthRoleRevokePermissionRequest.self, AuthRoleRevokePermissionResponse.self,
    LockRequest.self, LockResponse.self, UnlockRequest.self, UnlockResponse.self, LeaderKey.self, CampaignRequest.self,
    CampaignResponse.self, LeaderRequest.self, LeaderResponse.self, ResignRequest.self, ResignResponse.self,
    ProclaimRequest.self, ProclaimResponse.self,
]

/// Decodes what follows the first byte as the message that it picks. Answers what is wrong, or nil.
func roundTripFailure(_ input: UnsafeRawBufferPointer) -> String? {
    guard let choice = input.first else { return nil }
    let body = ByteString(copying: UnsafeRawBufferPointer(rebasing: input[1...]))
    return allMessages[Int(choice) % allMessages.count].roundTripFailure(body)
}

extension WireMessage {
    /// What decodes must come back from its own encoding, and encoding that again must give the same bytes.
    static func roundTripFailure(_ body: ByteString) -> String? {
        guard let message = try? decode(body) else { return nil }
        let encoded = message.encoded()
        do {
            let again = try decode(encoded)
            if again != message { return "\(self) decodes to another message once it is encoded: \(encoded)" }
            if again.encoded() != encoded { return "\(self) encodes in two ways: \(encoded)" }
        } catch {
            return "\(self) does not decode from its own encoding: \(error)"
        }
        return nil
    }
}

/// libFuzzer's entry point.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    if let failure = roundTripFailure(UnsafeRawBufferPointer(start: start, count: count)) { fatalError(failure) }
    return 0
}
