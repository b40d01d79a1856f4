/// The version of the library and of the program; `Docs/Changelog.md` says what is in it.
public let programVersion = "0.1.0"
