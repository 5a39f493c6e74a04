// Owns: the fields of the messages about users, roles and tokens.

extension Schema {
    static let authMessages: [Message] = [
        Message("UserAddOptions", [Field("no_password", 1, .bool)]),
        Message(
            "Permission",
            [
                Field("permType", 1, .enumeration(["READ", "WRITE", "READWRITE"])),
                Field("key", 2, .bytes),
                Field("range_end", 3, .bytes),
            ]),
        Message("AuthEnableRequest", []),
        Message("AuthEnableResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("AuthDisableRequest", []),
        Message("AuthDisableResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("AuthStatusRequest", []),
        Message(
            "AuthStatusResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("enabled", 2, .bool),
                Field("authRevision", 3, .uint64),
            ]),
        Message("AuthenticateRequest", [Field("name", 1, .string), Field("password", 2, .string)]),
        Message("AuthenticateResponse", [Field("header", 1, .message("ResponseHeader")), Field("token", 2, .string)]),
        Message(
            "AuthUserAddRequest",
            [
                Field("name", 1, .string),
                Field("password", 2, .string),
                Field("options", 3, .message("UserAddOptions")),
                Field("hashedPassword", 4, .string),
            ]),
        Message("AuthUserAddResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("AuthUserGetRequest", [Field("name", 1, .string)]),
        Message(
            "AuthUserGetResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("roles", 2, .string, isRepeated: true),
            ]),
        Message("AuthUserListRequest", []),
        Message(
            "AuthUserListResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("users", 2, .string, isRepeated: true),
            ]),
        Message("AuthUserDeleteRequest", [Field("name", 1, .string)]),
        Message("AuthUserDeleteResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message(
            "AuthUserChangePasswordRequest",
            [
                Field("name", 1, .string),
                Field("password", 2, .string),
                Field("hashedPassword", 3, .string),
            ]),
        Message("AuthUserChangePasswordResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("AuthUserGrantRoleRequest", [Field("user", 1, .string), Field("role", 2, .string)]),
        Message("AuthUserGrantRoleResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("AuthUserRevokeRoleRequest", [Field("name", 1, .string), Field("role", 2, .string)]),
        Message("AuthUserRevokeRoleResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("AuthRoleAddRequest", [Field("name", 1, .string)]),
        Message("AuthRoleAddResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("AuthRoleGetRequest", [Field("role", 1, .string)]),
        Message(
            "AuthRoleGetResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("perm", 2, .message("Permission"), isRepeated: true),
            ]),
        Message("AuthRoleListRequest", []),
        Message(
            "AuthRoleListResponse",
            [
                Field("header", 1, .message("ResponseHeader")),
                Field("roles", 2, .string, isRepeated: true),
            ]),
        Message("AuthRoleDeleteRequest", [Field("role", 1, .string)]),
        Message("AuthRoleDeleteResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message("AuthRoleGrantPermissionRequest", [Field("name", 1, .string), Field("perm", 2, .message("Permission"))]),
        Message("AuthRoleGrantPermissionResponse", [Field("header", 1, .message("ResponseHeader"))]),
        Message(
            "AuthRoleRevokePermissionRequest",
            [
                Field("role", 1, .string),
                Field("key", 2, .bytes),
                Field("range_end", 3, .bytes),
            ]),
        Message("AuthRoleRevokePermissionResponse", [Field("header", 1, .message("ResponseHeader"))]),
    ]
}
