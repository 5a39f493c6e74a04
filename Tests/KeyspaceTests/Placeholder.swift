// KeyspaceTests
