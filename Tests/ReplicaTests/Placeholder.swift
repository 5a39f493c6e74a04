// ReplicaTests
