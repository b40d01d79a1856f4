import Tensors

/// How the texts beside pictures become part of the sentences that a word is taught in.
public struct CaptionSettings: Sendable, Hashable, Codable {
  /// Whether they are read at all.
  public var areRead = true
  /// How often a picture's caption is left out, as a share; nil for the sentences' own, see `ownDropout`.
  public var dropout: Float?
  /// Whether the parts of a caption, which commas separate, come in a new order each time.
  public var shuffles = false
  /// How many parts stay where they are when the others are shuffled.
  public var keptParts = 0

  public init() {}

  /// What an older run did: there were no captions.
  static let none: CaptionSettings = {
    var settings = CaptionSettings()
    settings.areRead = false
    return settings
  }()

  /// What is left out where nothing is said of it: three in ten of the captions that are woven into sentences, so that the word is
  /// met alone as well; none of those that a template has a place for.
  public static func ownDropout(hasPlace: Bool) -> Float { hasPlace ? 0 : 0.3 }

  /// Throws `UserError(.usage)` naming the first setting that is out of range.
  func validate() throws(UserError) {
    if let dropout, !(0...1).contains(dropout) {
      throw UserError(.usage, "--caption-dropout must be between 0 and 1, not \(dropout)")
    }
    guard (0...1000).contains(keptParts) else {
      throw UserError(.usage, "--caption-keep must be between 0 and 1000, not \(keptParts)")
    }
  }
}
