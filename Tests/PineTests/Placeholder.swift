// PineTests
