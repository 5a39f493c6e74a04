// ChangelogTests
