// EtcdAPITests
