// Owns: messages as other implementations encoded them: most are what a real etcd 3.8 and its clients sent, the rest was
// made by protoc from proto/*.proto.
internal import Bytes
internal import EtcdAPI
internal import Foundation
internal import Testing

/// Canonical bytes of a message.
struct Golden: CustomTestStringConvertible {
    var type: any WireMessage.Type
    var bytes: ByteString

    init(_ type: any WireMessage.Type, _ base64: String) {
        self.type = type
        bytes = ByteString(Data(base64Encoded: base64)!)
    }

    var testDescription: String { "\(type) \(bytes)" }
}

let goldens: [Golden] = [
    Golden(AlarmMember.self, "CAcQAQ=="),
    Golden(AlarmRequest.self, "CAIQBxgB"),
    Golden(AlarmResponse.self, "CgIYBBIECAcQAhIA"),
    Golden(CompactionRequest.self, "CAUQAQ=="),
    Golden(CompactionRequest.self, "CBoQAQ=="),
    Golden(CompactionRequest.self, "CJQBEAE="),
    Golden(CompactionResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhgdIAI="),
    Golden(CompactionResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhi/AiAC"),
    Golden(Compare.self, "CAMQBBoBa0AAggQBAA=="),
    Golden(DefragmentRequest.self, ""),
    Golden(DefragmentResponse.self, "CgIYBA=="),
    Golden(DeleteRangeRequest.self, "CgEAEgEA"),
    Golden(DeleteRangeRequest.self, "CgFhEgFiGAE="),
    Golden(DeleteRangeRequest.self, "CgH/EgEAGAE="),
    Golden(
        DeleteRangeResponse.self,
        "ChgI2/WKsdHY3oRjENeLn/qil/aFdhghIAIQBBoQCgjQutC70Y7RhxAgGCAgARouCgbml6XmnKwQHRgdIAEqHjXTLdIcSXeoPoTG4jv8siuxSs"
            + "abcRUwkMgdCdGP4xoXCgL+/xASGBIgASoLXhHalparS00Sq6QaCQoB/xAfGB8gAQ=="),
    Golden(
        DeleteRangeResponse.self,
        "ChkI2/WKsdHY3oRjENeLn/qil/aFdhjmASACEAEaNAoC/v8Q0QEY3QEgAiofhCot9d2gZEiX0sk17xC4v1zBon1lUfsA5vgHgumDDjD+k+zbnR"
            + "Q="),
    Golden(DeleteRangeResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhjwAiACEAEaDgoBYRDhAhjhAiABKgHx"),
    Golden(DowngradeInfo.self, "CAESBTMuNy4w"),
    Golden(DowngradeRequest.self, "CAISAzMuNw=="),
    Golden(DowngradeResponse.self, "CgIYBBIFMy44LjA="),
    Golden(Event.self, "CAESAwoBaxoA"),
    Golden(HashKVRequest.self, "CAk="),
    Golden(HashKVResponse.self, "CgIYBBCAvMGWCxgDIAQ="),
    Golden(HashRequest.self, ""),
    Golden(HashResponse.self, "CgIYBBD/////Dw=="),
    Golden(KeyValue.self, "CgFrEICAgICAgICAgAEY//////////9/IIABKgF2MH8="),
    Golden(LeaseGrantRequest.self, "CAIQoLfo740N"),
    Golden(LeaseGrantRequest.self, "CJAcELLyGQ=="),
    Golden(LeaseGrantResponse.self, "CgAQARg8IgFl"),
    Golden(LeaseGrantResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhgjIAIQsvIZGJAc"),
    Golden(LeaseGrantResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhiDASACEJWX/6CtEhgC"),
    Golden(LeaseKeepAliveRequest.self, "CLLyGQ=="),
    Golden(LeaseKeepAliveResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhgMIAIQsvIZGKCNBg=="),
    Golden(LeaseKeepAliveResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhjpAiACELLyGRigOA=="),
    Golden(LeaseLeasesRequest.self, ""),
    Golden(LeaseLeasesResponse.self, "CgQICRgDEgkIld7SnYekvQ0SAggCEgA="),
    Golden(LeaseLeasesResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhgHIAISBAiy8hk="),
    Golden(LeaseLeasesResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhixASACEgQIsvIZ"),
    Golden(LeaseRevokeRequest.self, "CLLyGQ=="),
    Golden(LeaseRevokeResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhgFIAI="),
    Golden(LeaseRevokeResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhiJASAC"),
    Golden(LeaseStatus.self, "CAU="),
    Golden(LeaseTimeToLiveRequest.self, "CAMQAQ=="),
    Golden(LeaseTimeToLiveRequest.self, "CLLyGQ=="),
    Golden(LeaseTimeToLiveRequest.self, "CLLyGRAB"),
    Golden(LeaseTimeToLiveResponse.self, "CgAQAxj///////////8BIDwqAWEqACoBYg=="),
    Golden(LeaseTimeToLiveResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhhFIAIQl/Tp8fwQGI4cIJAcKgFi"),
    Golden(LeaseTimeToLiveResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhjmAiACENfRj4bLEhiejQYgoI0GKgFh"),
    Golden(Member.self, "CAESAsOpGgFwIgFjKAE="),
    Golden(MemberAddRequest.self, "CgpodHRwOi8vYToxCgAQAQ=="),
    Golden(MemberAddResponse.self, "CgASDggFGgpodHRwOi8vYToxGgIIBBoOCAUaCmh0dHA6Ly9hOjE="),
    Golden(MemberListRequest.self, "CAE="),
    Golden(
        MemberListResponse.self,
        "CgYIARACIAMSVQjN0pGL0riBz44BEgZwaW5lLTAaFWh0dHA6Ly9sb2NhbGhvc3Q6MjM4MCIVaHR0cDovL2xvY2FsaG9zdDoyMzc5IhJodHRwcz"
            + "ovL1s6OjFdOjIzNzkSAigB"),
    Golden(MemberPromoteRequest.self, "CAQ="),
    Golden(MemberPromoteResponse.self, "EgIIBA=="),
    Golden(MemberRemoveRequest.self, "CP///////////wE="),
    Golden(MemberRemoveResponse.self, "CgIYARICCAQ="),
    Golden(MemberUpdateRequest.self, "CAQSAXg="),
    Golden(MemberUpdateResponse.self, "EgUIBBoBeA=="),
    Golden(MoveLeaderRequest.self, "CAk="),
    Golden(MoveLeaderResponse.self, "CgIYBA=="),
    Golden(PutRequest.self, "CgFhEhmmZm7hjDYmfFKm9fAXx/l/j8AeMxyvjb3gGI/tteO4HDAB"),
    Golden(
        PutRequest.self,
        "CgFrEqwCdnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dn"
            + "Z2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2"
            + "dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dn"
            + "Z2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2dnZ2GAUgASgBMAE="),
    Golden(PutRequest.self, "CgIAABID+MUyIAEwAQ=="),
    Golden(PutRequest.self, "CgNmb3AY0vSZ1JgWKAE="),
    Golden(PutRequest.self, "CgNrAHYSGl2VF9eQwMR/h9sNiOefTSHjBU6tNMVIUbZ8GMi44vatBiABMAE="),
    Golden(PutRequest.self, "EiHjJ0JYhMOyO4CRy8DzqO1Ugq2DqukaljIoOk8hG65uX14gASgB"),
    Golden(PutResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhhRIAISDAoBABAyGDIgASoBfg=="),
    Golden(PutResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhiHAiACEhIKAQAQ8AEY8AEgATDNiJDA9AI="),
    Golden(PutResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhiYASACEiIKGS9yZWdpc3RyeS9wb2RzL2RlZmF1bHQvcDEQchiMASAE"),
    Golden(RangeRequest.self, "CgFhEgFiGAEgAigCMAQ4AUABSAFQAVgCYANo/P//////////AQ=="),
    Golden(RangeRequest.self, "CgH/EgEAMARAAWCNAQ=="),
    Golden(RangeRequest.self, "CgIAAFAZWEA="),
    Golden(RangeRequest.self, "CgL+/xIBYRgDIDAoATgBSAFoIw=="),
    Golden(
        RangeRequest.self,
        "CiMvcmVnaXN0cnkvc2VydmljZXMvc3BlY3MvZGVmYXVsdC9zMRIjL3JlZ2lzdHJ5L3NlcnZpY2VzL3NwZWNzL2RlZmF1bHQvczIglwUoAjAEYM"
            + "EEaBU="),
    Golden(
        RangeRequest.self,
        "CiMvcmVnaXN0cnkvc2VydmljZXMvc3BlY3MvZGVmYXVsdC9zMRIjL3JlZ2lzdHJ5L3NlcnZpY2VzL3NwZWNzL2RlZmF1bHQvczIgrwQoAjABYI"
            + "YC"),
    Golden(
        RangeRequest.self,
        "CiMvcmVnaXN0cnkvc2VydmljZXMvc3BlY3MvZGVmYXVsdC9zMRIjL3JlZ2lzdHJ5L3NlcnZpY2VzL3NwZWNzL2RlZmF1bHQvczIg8gE4AWCdAW"
            + "ilAQ=="),
    Golden(RangeResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhgbIAISDQoC//8QFBgaIAIqAWAgAQ=="),
    Golden(
        RangeResponse.self,
        "ChkI2/WKsdHY3oRjENeLn/qil/aFdhiKAiACEiYKAgAAEKMBGKMBIAEqGE23Mg5MFhLF0OGgn5MluMKVevNLVkzW5BI1Ch0vcmVnaXN0cnkvcG"
            + "9kcy9rdWJlLXN5c3RlbS9wMRB8GHwgASoOShmxbxN0N0v12mSHGZYSRgojL3JlZ2lzdHJ5L3NlcnZpY2VzL3NwZWNzL2RlZmF1bHQvczEQbxhv"
            + "IAEqGYPk1nWpilrpXBNSaFOUwLilON9XJxrX+zwYASAP"),
    Golden(RangeResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhjyASACEhIKAf8QkwEYkwEgATCwqdzx3AcgAQ=="),
    Golden(RangeResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhjyAiACEgsKAQAQrgEY4QEgAhgBIAI="),
    Golden(RangeStreamResponse.self, "CiMKAhgJEhkKAWEQrAIYCSACKgIA/zD///////////8BGAEgAQ=="),
    Golden(RangeStreamResponse.self, "CiwKGQjb9Yqx0djehGMQ14uf+qKX9oV2GIkCIAISDQoBABB0GOYBIAQqAfAgAQ=="),
    Golden(
        RangeStreamResponse.self,
        "Ck4KGQjb9Yqx0djehGMQ14uf+qKX9oV2GKICIAISLQojL3JlZ2lzdHJ5L3NlcnZpY2VzL3NwZWNzL2RlZmF1bHQvczEQ8wEYiwIgAhgBIAo="),
    Golden(RequestOp.self, "IgwKBBADOgASABoCEgA="),
    Golden(ResponseHeader.self, "CP///////////wEQARj///////////8BIICAAQ=="),
    Golden(ResponseOp.self, "IgoKABABGgIKABoA"),
    Golden(SnapshotRequest.self, ""),
    Golden(SnapshotResponse.self, "CgIYBBD///////////8BGgMBAgAiBTMuOC4w"),
    Golden(StatusRequest.self, ""),
    Golden(
        StatusResponse.self,
        "ChkI9OqlrYPKwaP8ARCumtSe68Hy8EkYASACEg0zLjguMC1hbHBoYS4wGICgASCumtSe68Hy8EkoBTACOAVIgIABWgUzLjguMGCAgICAIGoA"),
    Golden(
        StatusResponse.self,
        "ChoIspjq8ZSDhvzNARDN0pGL0riBz44BGAcgAhIFMy44LjAYgICADCDN0pGL0riBz44BKAkwAjgJQgdOT1NQQUNFQgLDqUiAgAFQAVoFMy44Lj"
            + "BggICAgAhqCQgBEgUzLjcuMA=="),
    Golden(
        StatusResponse.self,
        "ChoI9OqlrYPKwaP8ARCumtSe68Hy8EkYgAUgAhINMy44LjAtYWxwaGEuMBiAoC4grprUnuvB8vBJKJQFMAI4lAVIgKAuWgUzLjguMGCAgICAIG"
            + "oA"),
    Golden(
        TxnRequest.self,
        "CgcIAxoBYiABChUIAxADGgFiOgzWrJQbN8ursXUbBNkSCgoICgFiIKsBYBUa7AEi6QESDhoMCgjQutC70Y7RhxgBEh8aHQoZL3JlZ2lzdHJ5L3"
            + "BvZHMvZGVmYXVsdC9wMRgBGg0KCwoC/v8SAQA4AUABGqYBIqMBCjYIARADGh0vcmVnaXN0cnkvcG9kcy9rdWJlLXN5c3RlbS9wMToRVNkmSzhU"
            + "G2iAdfWvdNyxxRgSKRonChkvcmVnaXN0cnkvcG9kcy9kZWZhdWx0L3AxEgjQutC70Y7RhxgBEiQKIgoZL3JlZ2lzdHJ5L3BvZHMvZGVmYXVsdC"
            + "9wMhIBACB+QAEaGBIWCgNhL2ISDU7lkvsr5uDLaXyWVfogARoQEg4KAv7/EgEfGI/tteO4HA=="),
    Golden(TxnRequest.self, "CgoIARACGgL+/zAAEgwKCgoBYiDEAigCMAQaFQoTCgVmb28vMxIBABgCINACKAEwAxoQEg4KAQASB2oINm6DiRYwAQ=="),
    Golden(
        TxnRequest.self,
        "CgsIARABGgNhL2IoAAoNCAEQARoFZm9vLzEoABJyInAKCwgDEAEaA2sAdigAEhMSEQoDawB2EgpF1TwMptbUTnkUEh0aGwoZL3JlZ2lzdHJ5L3"
            + "BvZHMvZGVmYXVsdC9wMRIKCggKAWEg7gM4ARoWChQKAf8SAQAYASDGAygCMARIAVCnAhoJGgcKBWZvby8z"),
    Golden(
        TxnRequest.self,
        "EgkKBwoBYhgEUB8SIRIfCgbml6XmnKwSE0wef1Tic0iHOFkREo3SwqkgN+UgARISChAKBWZvby8xEgEAOAFAAUgBGgsKCQoBACAJOAFIAQ=="),
    Golden(
        TxnRequest.self,
        "EhASDgoDawB2GLCp3PHcByABEgoKCAoDawB2EgEAGkUiQwoLCAIQARoDZm9wKHwaFRoTCg9jb21wYWN0X3Jldl9rZXkYARodEhsKBuaXpeacrB"
            + "IP6jg9l0CxneffKl3LY0hxIAEaBxoFCgNrAHY="),
    Golden(TxnRequest.self, "EiwiKgoKCAIQBBoC//9AAAoKCAMQAhoC//8wABoQCg4KBWZvby8zOAFQhAFoCBoKGggKAQASAQAYAQ=="),
    Golden(
        TxnRequest.self,
        "EmMiYRI7IjkKDAgCEAIaBGZvbwAwARIWChQKBWZvby8xEgbml6XmnKwgiQFQQBoRCg8KBWEvYi9jGAMgqAFYywEaIhIgCgNrAHYSGRlOLfngki"
            + "DuhmATmmqjHU90uxhTUo/YyK0SDRoLCgRmb28AEgEAGAESBxoFCgFhGAE="),
    Golden(TxnRequest.self, "GgsSCQoBYRiy8hkoARozIjESEgoQCgVmb28vMRIFZm9vLzIgBhIbIhkKCwgCEAEaA2ZvbygAGgoKCAoC//8gBDAD"),
    Golden(
        TxnResponse.self,
        "ChgI2/WKsdHY3oRjENeLn/qil/aFdhgmIAIaBhoECgIYJRpIIkYKABosEioKAhgmEiQKD2NvbXBhY3RfcmV2X2tleRAFGBogBCoL8ZAojU288w"
            + "2iREcaFCISCgAaBhIECgIYJhoGGgQKAhgm"),
    Golden(
        TxnResponse.self,
        "ChgI2/WKsdHY3oRjENeLn/qil/aFdhgxIAIQARo8IjoKABodChsKAhgxEhMKAWEQERgXIAIqCH3SKuQ3t1O3IAEaFwoVCgIYMRINCgVmb28vMx"
            + "AKGAogASAH"),
    Golden(
        TxnResponse.self,
        "ChgI2/WKsdHY3oRjENeLn/qil/aFdhhZIAIQARo1IjMKABABGiUaIwoCGFkQARobCgFiEEoYViADKhC1QtV6PJ0ATrmk00MzyOA7GgYaBAoCGF"
            + "kaBhIECgIYWQ=="),
    Golden(
        TxnResponse.self,
        "ChgI2/WKsdHY3oRjENeLn/qil/aFdhh3IAIQARoIGgYKAhh3EAIaFwoVCgIYdxINCgVhL2IvYxBrGHQgAyABGhUSEwoCGHcSDQoFZm9vLzMQRB"
            + "hmIAI="),
    Golden(
        TxnResponse.self,
        "ChkI2/WKsdHY3oRjENeLn/qil/aFdhiABCACGgkaBwoDGIAEEAEaRiJECgAaNSIzCgAQARoHEgUKAxiABBokEiIKAxiABBIbCgFhEOgDGOgDIA"
            + "EqDnVtzWd+XghKkwZtyk7yGgkaBwoDGIAEEAE="),
    Golden(
        TxnResponse.self,
        "ChkI2/WKsdHY3oRjENeLn/qil/aFdhiVASACEAEaIyIhCgAQARoJGgcKAxiVARABGgcSBQoDGJUBGgcKBQoDGJUBGgkKBwoDGJUBIAEaCRoHCg"
            + "MYlQEQAQ=="),
    Golden(TxnResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhjYAyACGiAaHgoDGNgDEAEaFQoDawB2ELADGLMDIAIqBghbEiJ0Hw=="),
    Golden(HealthCheckRequest.self, ""), Golden(HealthCheckRequest.self, "CgZyZWFkeXo="),
    Golden(HealthCheckResponse.self, "CAE="), Golden(HealthCheckResponse.self, "CAM="),
    Golden(WatchCancelRequest.self, "CP///////////wE="),
    Golden(WatchCreateRequest.self, "CgFrEgEAGAUgASoCAAEwATgDQAE="),
    Golden(WatchProgressRequest.self, ""),
    Golden(WatchRequest.self, "CggKA2EvYhIB/w=="),
    Golden(WatchRequest.self, "Cg8KAgAAGJIBIAEwAThNQAE="),
    Golden(WatchRequest.self, "CicKHS9yZWdpc3RyeS9wb2RzL2t1YmUtc3lzdGVtL3AxGEMwATgFQAE="),
    Golden(WatchRequest.self, "CjIKIy9yZWdpc3RyeS9zZXJ2aWNlcy9zcGVjcy9kZWZhdWx0L3MxEgbml6XmnKwY5QFAAQ=="),
    Golden(WatchRequest.self, "EgIIAQ=="),
    Golden(WatchRequest.self, "GgA="),
    Golden(
        WatchResponse.self,
        "CgIYCRADIAEoCDI2ZXRjZHNlcnZlcjogbXZjYzogcmVxdWlyZWQgcmV2aXNpb24gaGFzIGJlZW4gY29tcGFjdGVkOAFaFwgBEgUKAWEYCRoMCg"
            + "FhEAIYAyACKgF2"),
    Golden(WatchResponse.self, "ChYI2/WKsdHY3oRjENeLn/qil/aFdiACIAEoPg=="),
    Golden(WatchResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhhQIAIQBloUCAESBQoBABhQGgkKAQAQJhguIAI="),
    Golden(WatchResponse.self, "ChgI2/WKsdHY3oRjENeLn/qil/aFdhhZIAIQA1oWEhQKAv//EFMYWSACKgF9MMzg7OXxFw=="),
    Golden(
        WatchResponse.self,
        "ChgI2/WKsdHY3oRjENeLn/qil/aFdhh3IAIQ////////////ARgBIAEyHG12Y2M6IHdhdGNoZXIgcmFuZ2UgaXMgZW1wdHk="),
    Golden(
        WatchResponse.self,
        "ChkI2/WKsdHY3oRjENeLn/qil/aFdhiXAiACEAJagAESLwodL3JlZ2lzdHJ5L3BvZHMva3ViZS1zeXN0ZW0vcDEQ6wEYlwIgAioGF5CZNNKAGk"
            + "0KHS9yZWdpc3RyeS9wb2RzL2t1YmUtc3lzdGVtL3AxEOsBGOsBIAEqJKLD4u9v+q8N4zRKYX/3ezpdS4TGJwT2H75mAMovEA1K3Re5cloiEgsK"
            + "AWEQ7wEYlwIgAxoTCgFhEO8BGI4CIAIqBkzrHzW6Rg=="),
    Golden(
        WatchResponse.self,
        "ChkI2/WKsdHY3oRjENeLn/qil/aFdhixAiACEANaWAgBEhQKD2NvbXBhY3RfcmV2X2tleRixAho+Cg9jb21wYWN0X3Jldl9rZXkQpgIYpgIgAS"
            + "ojnWtyM2J0WbpcwTttUXyCq9KRqkBum1/MmJji2wJYh9zbYolaOBIPCgVmb28vMxCjAhixAiADGiUKBWZvby8zEKMCGKcCIAIqDZjiy16ljklU"
            + "xpewz2kwjfHw19EK"),
    Golden(WatchResponse.self, "ChkI2/WKsdHY3oRjENeLn/qil/aFdhjCAiACEARaJQgBEgcKAmEvGMICGhgKAmEvEJsCGL4CIAMqA6hJQDDMivrpshA="),
    Golden(AuthDisableRequest.self, ""),
    Golden(AuthDisableResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiTASAC"),
    Golden(AuthEnableRequest.self, ""),
    Golden(AuthEnableResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiUASAC"),
    Golden(AuthRoleAddRequest.self, ""),
    Golden(AuthRoleAddRequest.self, "CgZyZWFkZXI="),
    Golden(AuthRoleAddResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiIASAC"),
    Golden(AuthRoleDeleteRequest.self, ""),
    Golden(AuthRoleDeleteRequest.self, "CgZyZWFkZXI="),
    Golden(AuthRoleDeleteResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiMASAC"),
    Golden(AuthRoleGetRequest.self, ""),
    Golden(AuthRoleGetRequest.self, "CgZyZWFkZXI="),
    Golden(AuthRoleGetResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRg7IAI="),
    Golden(AuthRoleGetResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiIASACEgUSA2EvMRIJCAISAmEwGgEAEggIARIB/xoBAA=="),
    Golden(AuthRoleGrantPermissionRequest.self, "CgNhbGwSAA=="),
    Golden(AuthRoleGrantPermissionRequest.self, "CgZyZWFkZXISEAgBEgVhLzMveBoFYS8zL3k="),
    Golden(AuthRoleGrantPermissionResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiRASAC"),
    Golden(AuthRoleListRequest.self, ""),
    Golden(AuthRoleListResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRgIIAISA2FsbBIGa2VlcGVyEgZyZWFkZXISBHJvb3QSBndyaXRlcg=="),
    Golden(AuthRoleRevokePermissionRequest.self, "CgNhbGwSAQA="),
    Golden(AuthRoleRevokePermissionRequest.self, "CgZrZWVwZXISBWEvMy94GgVhLzMveQ=="),
    Golden(AuthRoleRevokePermissionResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiVASAC"),
    Golden(AuthStatusRequest.self, ""),
    Golden(AuthStatusResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRgBIAIYAQ=="),
    Golden(AuthStatusResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiLASACEAEYtAE="),
    Golden(AuthUserAddRequest.self, "CgZoYXNoZWQiFEpESmhKREEwSkc1dmRHaHBibWM9"),
    Golden(AuthUserAddRequest.self, "EgF4"),
    Golden(AuthUserAddResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiUASAC"),
    Golden(AuthUserChangePasswordRequest.self, "CgNib2I="),
    Golden(AuthUserChangePasswordRequest.self, "CgNib2ISAWIaC25vdCBiYXNlNjQh"),
    Golden(AuthUserChangePasswordResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiFASAC"),
    Golden(AuthUserDeleteRequest.self, ""),
    Golden(AuthUserDeleteRequest.self, "CgZub2JvZHk="),
    Golden(AuthUserDeleteResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiUASAC"),
    Golden(AuthUserGetRequest.self, ""),
    Golden(AuthUserGetRequest.self, "CgZub2JvZHk="),
    Golden(AuthUserGetResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRg1IAI="),
    Golden(AuthUserGetResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiLASACEgZrZWVwZXISBHJvb3QSBndyaXRlcg=="),
    Golden(AuthUserGrantRoleRequest.self, ""),
    Golden(AuthUserGrantRoleRequest.self, "CgZub2JvZHkSBndyaXRlcg=="),
    Golden(AuthUserGrantRoleResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiUASAC"),
    Golden(AuthUserListRequest.self, ""),
    Golden(
        AuthUserListResponse.self,
        "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRgIIAISBWFsaWNlEgNib2ISBGJvdGgSBWNhcm9sEgRkYXZlEgZoYXNoZWQSBm5vcGFzcxIEcm9vdA=="),
    Golden(AuthUserRevokeRoleRequest.self, "CgZub2JvZHkSBndyaXRlcg=="),
    Golden(AuthUserRevokeRoleRequest.self, "EgNhbGw="),
    Golden(AuthUserRevokeRoleResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiFASAC"),
    Golden(AuthenticateRequest.self, ""),
    Golden(AuthenticateRequest.self, "CgZoYXNoZWQSB25vdGhpbmc="),
    Golden(AuthenticateResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRg+IAISFG1NWWFTS1lyc3hsWGtxYVUuNTU1"),
    Golden(AuthenticateResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRiUASACEhVzRU5rU3ZqdllwWVBQSU9qLjEwNjg="),
    Golden(UserAddOptions.self, "CAE="),
    Golden(Permission.self, "CAISAmEvGgJhMA=="),
    Golden(User.self, "CgVhbGljZRI8JDJhJDA0JGFiY2RlZmdoaWprbG1ub3BxcnN0dXVOWE1TT1hLVkt5SVZZNTBvN25tYnNRc1VGN2JpRGJlGgFyGgF3IgA="),
    Golden(User.self, "CgRkYXZlIgIIAQ=="),
    Golden(Role.self, "CgFyEgoIAhICYS8aAmEwEgMSAWI="),
    Golden(LockRequest.self, "CgNvd24="),
    Golden(LockRequest.self, "CgrQt9Cw0LzQvtC6EPOjvNOHEw=="),
    Golden(LockResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRgHIAISDWz/LzQ5Y2U3NWRlYjQ="),
    Golden(LockResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRjsAiACEhXQt9Cw0LzQvtC6L2M5ZWE4NmEyZGI="),
    Golden(UnlockRequest.self, "Cgduby9zdWNo"),
    Golden(UnlockRequest.self, "ChXQt9Cw0LzQvtC6Lzk4N2E2ZjExZjM="),
    Golden(UnlockResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRg4IAI="),
    Golden(UnlockResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRjzAiAC"),
    Golden(CampaignRequest.self, "CgNvd24="),
    Golden(CampaignRequest.self, "CgZqb2JzLwAQsvIZGjKcnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnA=="),
    Golden(CampaignResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRgTIAISHAoCZWwSDWVsLzM0N2U4YjM1ZWMYEyDs66z0xwY="),
    Golden(
        CampaignResponse.self,
        "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRgEIAISJwoDb3duEhRvd24vNjg4ZGEyMmUxN2YyMGMwORgEIImYyL/hxejGaA=="),
    Golden(LeaderKey.self, "CgNvd24SFG93bi82ODhkYTIyZTE3ZjIwYzA5GAQgiZjIv+HF6MZo"),
    Golden(LeaderRequest.self, "CgJlbA=="),
    Golden(LeaderRequest.self, "CgZub2JvZHk="),
    Golden(LeaderResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRifAyACEhwKDGVsLzZlM2EzMTMxNBD4Ahj4AiABMJSmjJ1u"),
    Golden(
        LeaderResponse.self,
        "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRjzASACElYKEWpvYnMvAC81YmRmMmU5YTQ3EMYBGPMBIAIqMkNDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDMMe0uvm9Cw=="
    ),
    Golden(ResignRequest.self, "CgA="),
    Golden(ResignRequest.self, "CicKA293bhIUb3duLzY4OGRhMjJlMTdmMjBjMDkYBCCJmMi/4cXoxmg="),
    Golden(ResignResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRg1IAI="),
    Golden(ResignResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRjyASAC"),
    Golden(ProclaimRequest.self, "EgJ2Fg=="),
    Golden(
        ProclaimRequest.self,
        "CiUKBmpvYnMvABIRam9icy8ALzViZGYyZTlhNDcYxgEgx7S6+b0LEjJDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQw=="),
    Golden(ProclaimResponse.self, "ChgI2eG+8Jm+uuMxEI3Rt5zx2OLZaRgFIAI="),
    Golden(ProclaimResponse.self, "ChkI2eG+8Jm+uuMxEI3Rt5zx2OLZaRjzASAC"),
]
