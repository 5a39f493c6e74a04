// Owns: keys made for these tests by the openssl command, and tokens that it and Python's hmac have signed with them.
// They protect nothing.
internal import Bytes
internal import JWT

enum TestKeys {
    static let secret: ByteString = "secret"
    static let rsa: ByteString = """
        -----BEGIN PRIVATE KEY-----
        MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCaLohMFkf6IlOn
        l1DG0Yip6qERwLu/jIQOSaBHQyCnaOnKuURFG56MHZ0bH4dW8o77sSD6PfZKcxhb
        7YkEOyhAAxNc1bghbaAKJlhG+cjqvsz0BRv4BdbgMSTw7w9OCKmJYtGaGAjnY1Jk
        D1Si6QQz7vZvh7JM1GUO3x/oX1TMBanHLBPF8n5Q+o0mg5FKWzAjyXaC2+6pvJNa
        qg1KHVKS8dNZUNJ5KxOPJUotOE8ocFTeB9GAAB00NN8gB/MCgTqPpNDoaUkYuhdx
        spYNP1ejTx1AYthB/xlHxzLFKfW/cfGukXgG+wsDoATeDBif+b+rD2VhLQGAYdXm
        +/SWolK/AgMBAAECggEAMYopBhWUq/TSn0M506AowrveZAdi7AGYvsR+aNdTSycl
        E5uiqXfd4hRz0e63/EJ0mb+Ioo89Lx+7IHJ6t27QmHzEgGw1PRxts0Ut0SRaH78N
        uIxZt8Acki2IOpf9eWvEGZ40TchSOBLMOtVIMw4e6RbrfNuDeTc3f2dG59GVu/XI
        FOi5XZsBCqEnuIUvMzfGxctPJqWgnqjVUABOGtQPU1PvGovAc6rvDMJ2SPixOFYk
        P+Ph8ZGcNcd9tz5wVdTaeSaxifkpsrTpmY8CQsBrsQQKW+4PWKFgoDadHYpdvmGE
        lujBAehjK7JTwuQ8HN193Yjv+X5tPCIRbG97JVdugQKBgQDPZWcS2Aik/MINHPpD
        hdKA6jOdp6iScNAzKznFbVarSmRa0B3KnF1fIzj/jvnM66KTtTOZoCslrZNQEgYv
        mYIoOHnHPbD+4jMDCMt5qRfynuQGagJtJdQ310BWRe/axqJ/HcXLtMrOgDtPY2Db
        YZbvtRc8dAhBQ7732IsFPXlAgQKBgQC+UJHJwxjxsLwJYxTOChXiXo94qC36OdFF
        iF3z1I5EO+yaB3vgadWas2ByYQhzEKNqg8slGq8nlzeVq+PyZPbG2CRGq2wr8XSK
        2HAFcou49RRGuAb2YvTCgSYataL+fyyrUPXJYX7fy6Gltvf2lC2RL9V7Ozlr47oc
        e8i4lRHzPwKBgQCS8YPARDSLwVI0PE3NPanSER4VG89CQpAhUQUTrs5zerfz5/TT
        s0osuCYQW9r9qA5+nSo8NNGdVohDeSHM4/TmTm1qD3myfc4q3jZcssP28UEakk25
        y8266tX4yoCQ/5/udMfJ9wSinxRmwUDE7zYkDKiz+npG05sgu9p0EgQxAQKBgQCp
        8xD9d7eivQxt5YkCpYb9ayv7t1O3jEIRMcGUqE+TJ2AV/HDm6hvR1jVebsA44LbN
        u3uBWt7nH+aHRcR9BSRKVWGvqg0jAK/t/XGrq6qSNGky7ctp4txnhSUd3O39Dlw5
        cEbM2r+N4i4r6cRs8c3vRSQCs9SHQAlGvlN0YcpxyQKBgC3E9oTQSpytxoeqgYD5
        RaFMEt5zM7EGjYjhgQeaiZS5Pvf2vN5VJy0zrA5tckLxMQMXOuDmdR58bsv1UTaP
        XkCmbEnjCsptBKx3Ma2lyj/Ws6ffhdmQk9XVqDtoxIUh6pow5MWIJ7n1AJaO5urZ
        4/hdCxDqEUvFgN5CyJIH/g0I
        -----END PRIVATE KEY-----
        """
    static let rsaTraditional: ByteString = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEpAIBAAKCAQEAmi6ITBZH+iJTp5dQxtGIqeqhEcC7v4yEDkmgR0Mgp2jpyrlE
        RRuejB2dGx+HVvKO+7Eg+j32SnMYW+2JBDsoQAMTXNW4IW2gCiZYRvnI6r7M9AUb
        +AXW4DEk8O8PTgipiWLRmhgI52NSZA9UoukEM+72b4eyTNRlDt8f6F9UzAWpxywT
        xfJ+UPqNJoORSlswI8l2gtvuqbyTWqoNSh1SkvHTWVDSeSsTjyVKLThPKHBU3gfR
        gAAdNDTfIAfzAoE6j6TQ6GlJGLoXcbKWDT9Xo08dQGLYQf8ZR8cyxSn1v3HxrpF4
        BvsLA6AE3gwYn/m/qw9lYS0BgGHV5vv0lqJSvwIDAQABAoIBADGKKQYVlKv00p9D
        OdOgKMK73mQHYuwBmL7EfmjXU0snJROboql33eIUc9Hut/xCdJm/iKKPPS8fuyBy
        erdu0Jh8xIBsNT0cbbNFLdEkWh+/DbiMWbfAHJItiDqX/XlrxBmeNE3IUjgSzDrV
        SDMOHukW63zbg3k3N39nRufRlbv1yBTouV2bAQqhJ7iFLzM3xsXLTyaloJ6o1VAA
        ThrUD1NT7xqLwHOq7wzCdkj4sThWJD/j4fGRnDXHfbc+cFXU2nkmsYn5KbK06ZmP
        AkLAa7EEClvuD1ihYKA2nR2KXb5hhJbowQHoYyuyU8LkPBzdfd2I7/l+bTwiEWxv
        eyVXboECgYEAz2VnEtgIpPzCDRz6Q4XSgOoznaeoknDQMys5xW1Wq0pkWtAdypxd
        XyM4/475zOuik7UzmaArJa2TUBIGL5mCKDh5xz2w/uIzAwjLeakX8p7kBmoCbSXU
        N9dAVkXv2saifx3Fy7TKzoA7T2Ng22GW77UXPHQIQUO+99iLBT15QIECgYEAvlCR
        ycMY8bC8CWMUzgoV4l6PeKgt+jnRRYhd89SORDvsmgd74GnVmrNgcmEIcxCjaoPL
        JRqvJ5c3lavj8mT2xtgkRqtsK/F0ithwBXKLuPUURrgG9mL0woEmGrWi/n8sq1D1
        yWF+38uhpbb39pQtkS/Vezs5a+O6HHvIuJUR8z8CgYEAkvGDwEQ0i8FSNDxNzT2p
        0hEeFRvPQkKQIVEFE67Oc3q38+f007NKLLgmEFva/agOfp0qPDTRnVaIQ3khzOP0
        5k5tag95sn3OKt42XLLD9vFBGpJNucvNuurV+MqAkP+f7nTHyfcEop8UZsFAxO82
        JAyos/p6RtObILvadBIEMQECgYEAqfMQ/Xe3or0MbeWJAqWG/Wsr+7dTt4xCETHB
        lKhPkydgFfxw5uob0dY1Xm7AOOC2zbt7gVre5x/mh0XEfQUkSlVhr6oNIwCv7f1x
        q6uqkjRpMu3LaeLcZ4UlHdzt/Q5cOXBGzNq/jeIuK+nEbPHN70UkArPUh0AJRr5T
        dGHKcckCgYAtxPaE0EqcrcaHqoGA+UWhTBLeczOxBo2I4YEHmomUuT739rzeVSct
        M6wObXJC8TEDFzrg5nUefG7L9VE2j15ApmxJ4wrKbQSsdzGtpco/1rOn34XZkJPV
        1ag7aMSFIeqaMOTFiCe59QCWjubq2eP4XQsQ6hFLxYDeQsiSB/4NCA==
        -----END RSA PRIVATE KEY-----
        """
    static let rsaPublic: ByteString = """
        -----BEGIN PUBLIC KEY-----
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmi6ITBZH+iJTp5dQxtGI
        qeqhEcC7v4yEDkmgR0Mgp2jpyrlERRuejB2dGx+HVvKO+7Eg+j32SnMYW+2JBDso
        QAMTXNW4IW2gCiZYRvnI6r7M9AUb+AXW4DEk8O8PTgipiWLRmhgI52NSZA9UoukE
        M+72b4eyTNRlDt8f6F9UzAWpxywTxfJ+UPqNJoORSlswI8l2gtvuqbyTWqoNSh1S
        kvHTWVDSeSsTjyVKLThPKHBU3gfRgAAdNDTfIAfzAoE6j6TQ6GlJGLoXcbKWDT9X
        o08dQGLYQf8ZR8cyxSn1v3HxrpF4BvsLA6AE3gwYn/m/qw9lYS0BgGHV5vv0lqJS
        vwIDAQAB
        -----END PUBLIC KEY-----
        """
    static let rsaPublicTraditional: ByteString = """
        -----BEGIN RSA PUBLIC KEY-----
        MIIBCgKCAQEAmi6ITBZH+iJTp5dQxtGIqeqhEcC7v4yEDkmgR0Mgp2jpyrlERRue
        jB2dGx+HVvKO+7Eg+j32SnMYW+2JBDsoQAMTXNW4IW2gCiZYRvnI6r7M9AUb+AXW
        4DEk8O8PTgipiWLRmhgI52NSZA9UoukEM+72b4eyTNRlDt8f6F9UzAWpxywTxfJ+
        UPqNJoORSlswI8l2gtvuqbyTWqoNSh1SkvHTWVDSeSsTjyVKLThPKHBU3gfRgAAd
        NDTfIAfzAoE6j6TQ6GlJGLoXcbKWDT9Xo08dQGLYQf8ZR8cyxSn1v3HxrpF4BvsL
        A6AE3gwYn/m/qw9lYS0BgGHV5vv0lqJSvwIDAQAB
        -----END RSA PUBLIC KEY-----
        """
    static let p256: ByteString = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+10wPDBufIqOpcSC
        ngByyUaIrUMk6y15YuC42tLZSaKhRANCAASi+tM1Zn2qN1pJhNQjqEp8rfFuNfxo
        POLrtIv1VQ7ozWaqNuyHXBGFfp+LQJ7I3ynzjGUSN6VssleqnD+2vEUs
        -----END PRIVATE KEY-----
        """
    static let p256Traditional: ByteString = """
        -----BEGIN EC PRIVATE KEY-----
        MHcCAQEEIPtdMDwwbnyKjqXEgp4AcslGiK1DJOsteWLguNrS2UmioAoGCCqGSM49
        AwEHoUQDQgAEovrTNWZ9qjdaSYTUI6hKfK3xbjX8aDzi67SL9VUO6M1mqjbsh1wR
        hX6fi0CeyN8p84xlEjelbLJXqpw/trxFLA==
        -----END EC PRIVATE KEY-----
        """
    static let p256Public: ByteString = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEovrTNWZ9qjdaSYTUI6hKfK3xbjX8
        aDzi67SL9VUO6M1mqjbsh1wRhX6fi0CeyN8p84xlEjelbLJXqpw/trxFLA==
        -----END PUBLIC KEY-----
        """
    static let p384: ByteString = """
        -----BEGIN PRIVATE KEY-----
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDANXbEvLNfg7h4chkwn
        F8GMhxEbKMuKLVMCcHifnIhxv5YnhiDP2YiI0vanNjUMWeihZANiAATZq9+LTutw
        gUfMUum9BJLunfwwd3WPdjMkBuaqmUyLk+MkUV4QpGliXB4lv8hhwTfg8FCD5CzR
        25Sf2dacYVunhXyldM5B//0s6FTpypzGgj6IYawb/gE2YtyX+Gqkwds=
        -----END PRIVATE KEY-----
        """
    static let p384Public: ByteString = """
        -----BEGIN PUBLIC KEY-----
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE2avfi07rcIFHzFLpvQSS7p38MHd1j3Yz
        JAbmqplMi5PjJFFeEKRpYlweJb/IYcE34PBQg+Qs0duUn9nWnGFbp4V8pXTOQf/9
        LOhU6cqcxoI+iGGsG/4BNmLcl/hqpMHb
        -----END PUBLIC KEY-----
        """
    static let p521: ByteString = """
        -----BEGIN PRIVATE KEY-----
        MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBL5eASu4c5nBqCz2g
        qbXvsG7pNyMGSjeG1/X5SRuAjXnrzC7Q1uNzCy55lnyVl1r1xDHMVwVNu9cQnZvV
        RAIuXMShgYkDgYYABAE9gl1yZY2EKigYCCjoNf79ASnlxNTHMcdHwTfG/Y70wFMG
        YIIIZPpwFCyqOEGA/bIPHXs5LNJM49SocDJ+RIqezgBn/0Y6+NWE9rbd49t57aqQ
        kXQIdzFkkK6RfusXUMjWuveWyj7IwP79yBLHLZ8BHaSrPnhD/sIg83ZxXIJ3HbQi
        ug==
        -----END PRIVATE KEY-----
        """
    static let p521Public: ByteString = """
        -----BEGIN PUBLIC KEY-----
        MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBPYJdcmWNhCooGAgo6DX+/QEp5cTU
        xzHHR8E3xv2O9MBTBmCCCGT6cBQsqjhBgP2yDx17OSzSTOPUqHAyfkSKns4AZ/9G
        OvjVhPa23ePbee2qkJF0CHcxZJCukX7rF1DI1rr3lso+yMD+/cgSxy2fAR2kqz54
        Q/7CIPN2cVyCdx20Iro=
        -----END PUBLIC KEY-----
        """
    static let ed25519: ByteString = """
        -----BEGIN PRIVATE KEY-----
        MC4CAQAwBQYDK2VwBCIEIKTCejr/9Rb1txn/N8yddUgGLRHuilVSs/KoEkDffUkI
        -----END PRIVATE KEY-----
        """
    static let ed25519Public: ByteString = """
        -----BEGIN PUBLIC KEY-----
        MCowBQYDK2VwAyEAEqDrrqQGwvCyHBNd+y4FpxvZ6g+sMQXZK6sExr0T4LA=
        -----END PUBLIC KEY-----
        """
    static let ed25519Certificate: ByteString = """
        -----BEGIN CERTIFICATE-----
        MIIBLjCB4aADAgECAhRVLwa1dz/9lL0JxDvDQWJjuA2tPDAFBgMrZXAwDDEKMAgG
        A1UEAwwBdDAgFw0yNjEyMDEwMjE4MTJaGA8yMTI2MTEwNzAyMTgxMlowDDEKMAgG
        A1UEAwwBdDAqMAUGAytlcAMhABKg666kBsLwshwTXfsuBacb2eoPrDEF2SurBMa9
        E+Cwo1MwUTAdBgNVHQ4EFgQU4Qdab8pUVxnv7s1IXCKxLR/hfQcwHwYDVR0jBBgw
        FoAU4Qdab8pUVxnv7s1IXCKxLR/hfQcwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD
        QQA5Cs69QB0Kfn/AJer46Ge+jwQhyal2OLQFyS3u7+8uz528B7pwsFCGOzXHX8yy
        rsFQsb2SHxmVUGtNef8IpbwN
        -----END CERTIFICATE-----
        """

    /// The private and the public key that go with a method.
    static func pair(_ method: SignMethod) -> (own: ByteString, other: ByteString?) {
        switch method {
        case .hs256, .hs384, .hs512: (secret, nil)
        case .rs256, .rs384, .rs512, .ps256, .ps384, .ps512: (rsa, rsaPublic)
        case .es256: (p256, p256Public)
        case .es384: (p384, p384Public)
        case .es512: (p521, p521Public)
        case .edDSA: (ed25519, ed25519Public)
        }
    }

    /// Of the user `al"ice`, revision 7, good until second 2,000,000,000.
    static let tokens: [(method: SignMethod, token: ByteString)] = [
        (
            .hs256,
            """
            eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.7I\
            GSTXo6x5h3Vitg6iQ8dR4JHOOx8qKLsTjakeZsTIY
            """
        ),
        (
            .hs384,
            """
            eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.1t\
            xWNQcSZpTBdbPIcKT-4U38rQ6foFAGPJJdtPaN3rgyt4g3A-7-QrEX7E7gYhul
            """
        ),
        (
            .hs512,
            """
            eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.ly\
            W9p_iPPb1g2bRtDPjKO8PaPpn1EpYzgh5tbA3OhmKKd_WagJX5nEW4JybZNwZBkiTCnCw2ErV_Jhy_S6MVxg
            """
        ),
        (
            .rs256,
            """
            eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.Ll\
            g9jwYYwQCnIIZxi_ipXDfaGOAGeD8q9fAUeChbq-rORUPIPgGTZ7fKJQD9gVdCQQOmPgaSaKN_0mpnm_pco2nQFRVIriK8OVqn-HjqizoCU7Yv\
            n7ixVaZ9M1EJ27ZkZLt-uM6n4XNVYUXu0UGpw6bqibjq4KYXccUfh15yQFwv9bS86W6J8rukm6uw-TAZ7t5Owm92ROZZ6QW923DVlBZ4iyM1iz\
            Mv-EiArQY97bXdQDYcRcA8Rov7x6g1fvnOEtLY7Lhq-IyQcBPmYrAyVuvdyKVeVRz8KlTi_6WSzCfeQ0SoTnM7W0upa_ddWeB5pwvdrO395eVB\
            VcgoqpVn4w
            """
        ),
        (
            .rs384,
            """
            eyJhbGciOiJSUzM4NCIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.Sg\
            QrAqsTw71jScHZ915SfIkuTk_yqA0J1UmRq447e7Jg-OEE7_XwLetD8mXORl3-A90afKtF35da4c6kYGDnPztDvECVPNgWQPhAMRcwXDAmbj71\
            KOOtHo1_zdp4ti2WSChaF8zYRXNZXiJhupRbSiRv9nYK9NkkaFmcczFWsQzhR4_2fvsSLuizuTElZyFGVI0BlkiNN4VAZ_Je3z9kH_IDcU8bu0\
            lvKZqwpgWbpLMscJ2Vp4fnSVOWCqWP94F3VfsMV6V6jCoQHkflgSIgR29aWfhfZuBNSPA1gGFMuRT-1QDGO9XX4NtN5rV_rmM_N9XJpib9BCuV\
            o5goWSw3dQ
            """
        ),
        (
            .rs512,
            """
            eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.EL\
            RJUQQl7iHvLPEHjZUsIhLO2ur2II_E8vFsd52IdaIIskDwIk8j-FCEYSD_Y3Ioxqq0yR2CN3gPWi4VEXqD6wDUSy5MwpTLRr2pfjY4ETEQLou7\
            VO5Mf3L65YN0srPgi3EF-UMgOqiuQ8JtgSuzIE74not2WTlfwaUNEH4JxFfzZC7Obv9BtFRM9e8CZ5UEhn-9yB-yOj-dTs1Tn2wsAoxaDtCatb\
            ooNLYtgCBS-qQsuoS2jcd3mphIi0fneGgfFX5F9uEJ6Kyxm1mV5X9MmcAQfmi_fwcY3_PKd9FgWQpY6aaCN3v5lPuLdKkyRE_Jzn9TtsRrbC5E\
            D-qwaXdETw
            """
        ),
        (
            .ps256,
            """
            eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.Xt\
            _FKMzMFX3SVcex7qE3l9gjFAYFzhLhsAaFiQIn8sIKd9R3API9sq-SGD_0K7KtllavirUqKXhTftbbWYvEZs1mcY8xaCp2ezWnGBrc1eGGANjG\
            mKbZuC-ROIzpQrX1BiAYRywTFAv_cTW77gRABEGzsffQeHRticf1BxUnoB8LmGXbYCqhJs7qn4EV9UceZB6DcryM8FfAZ6-Zap9ftm0MlBDx__\
            Uas3woKM2aixCsVSLVcVL1D4P0OaWL6p9LWXlsgDQMAq1fb9rzcVvjttWVOL385agJQWB-P6JY_zM-2SssodcrnHLrOxIZhsD7_oozmv1eXp1S\
            bOedS1a9tQ
            """
        ),
        (
            .ps384,
            """
            eyJhbGciOiJQUzM4NCIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.E2\
            KxMBPNnIrD4A7p6Hno2vTJpjAhe7HtdZumsixOIH_FA_llzqExhnVx-vSyWnqkdK0W1sXJ0hLB8-g9zxonDsbmnCEaaqqSzZIykl6xUVhgsBiY\
            nW7leGK8YBqpvy22QqVH70NtU3_dKEmMV5hfxgDCqe_y12IUgsUedF9kkZairwdN5TRBv7PMKABr2UZMTaDBcmK3eqe9bZkQYPVrWUyLV_KGkq\
            TFyjkgd5sGNSub9J4O1H04li8PLwNvgG-vQHIXkfcAE0yymUHAReCjeuI-Vejdrky2dHN1ChGzWZY79eJ8YSiqTT8R2Br6KyOWfNFRJ5R6kcPH\
            zhcL_eFmIQ
            """
        ),
        (
            .ps512,
            """
            eyJhbGciOiJQUzUxMiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.RR\
            7CZEgKJZpvST8hkQr-DSfD7wd4wy8x-c-MxrpEW5Z5VTTPk9FwSLpI473L1WI4fqXa1JOxa57IvAXUXSMwfmAQMoNzqCBI03dWQcbF09nsHYhG\
            Fewb7IvyvV4_cJ5IjmYfTYU7Pl35jCDWrjbYDUkYkhaKp2kKBPCA3fob5XKO4z9kQE6QNtiDLMU0cQBEKnP1OFVAextDQP27-QW5g5ccg7yIer\
            vT8XalKOtEzP96Brmr80AU5cFVHHSdnM6Cs1BEvYA2-tUyTuG2FeBK4yKtrIDs9zq2NAnN1shm5xQIptWWxCW_O9DO7cfXqFBWW3eNu0__dbLO\
            N48YwbO9RQ
            """
        ),
        (
            .es256,
            """
            eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.j6\
            4WLAVrZyiQwDYICTAB9TCsR0abZIazXKhz7-vd-6XZ6wb-A9mmeze3acV35e9ld79lrLlPZfe8JTBkFaV1LA
            """
        ),
        (
            .es384,
            """
            eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.IA\
            g11RzJt_0aHofYXwzp97ZQKwzAoETZeA5PV_mMFTQFdOP97TzTFD5Q2geLVwJtOIIrWMosSPQ6-Kuwm_vhfir2_xvgKpAQ-OHIwSDh__n1_EAh\
            D91OLbCw9hIxlCj4
            """
        ),
        (
            .es512,
            """
            eyJhbGciOiJFUzUxMiIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.AB\
            fQojyjSOd3abv9x_Vha5H1gMSJ3KxC6bMrRTiTBz7-9LCJnQXcKHs3MvVsRu88JwU6napIve1otbJyPiqCm1zvAS-wTI7Tp6iNnfJtv02f6UZq\
            Te_EsSOmK2wqjj1FmIyYjhYSNWY2rNaC0n14unOPweDbCv25GoVtkUaycs46DwRD
            """
        ),
        (
            .edDSA,
            """
            eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJleHAiOjIwMDAwMDAwMDAsInJldmlzaW9uIjo3LCJ1c2VybmFtZSI6ImFsXCJpY2UifQ.NJ\
            yByUlVKYsYU-fInSvk_Oq-KeSdTfYJhEuNDyRmfBq6gOp87C0ZUFzULk9_C_B8Disv0r95oaNYVSwXWw3JBQ
            """
        ),
    ]
}
