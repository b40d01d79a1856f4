import Foundation
import Images
import Tensors

/// What is taught: the pictures of a word, or of several, brought to the sizes that they are learned in.
public struct Concept: Sendable {
  /// The pictures' files, in the order of their names.
  public let files: [URL]
  /// What they are called, each otherwise: their paths in the folder, with a number where two are alike but for how accents are
  /// stored.
  public let names: [String]
  /// The word that each of them teaches, by its number among the settings' words.
  public let words: [Int]
  /// How often each of them comes where another comes once.
  public let repeats: [Int]
  /// The pictures as they are learned, in the same order: each in one or more views of one size.
  public let views: [[FittedPicture]]
  /// The masks' files that are used, in the same order.
  public let masks: [URL?]
  /// What is written beside them, in the same order.
  public let captions: [CaptionText?]
  /// Files that were passed over, with the reason: "name: reason".
  public let skipped: [String]

  /// What a person may not expect of the pictures, a line each.
  public let warnings: [String]

  /// The first view of each picture.
  public var pictures: [FittedPicture] { views.compactMap(\.first) }

  /// Reads every picture of a folder, and of those in it that are named with repeats (`PictureFolder`).
  ///
  /// - Parameters:
  ///   - masks: a folder of masks (`MaskFolder`).
  ///   - buckets: the sizes that pictures are brought to.
  ///   - cell: how many pixels of their sides a latent stands for.
  /// - Throws: `UserError(.noInput)` for a missing folder or one without pictures, `.badData` if none can be read, or for a mask that
  ///   can't.
  package init(
    folder: URL, masks: URL? = nil, buckets: AspectBuckets, fitting: PictureFitting = .crop,
    alpha: AlphaUse = .over(.white), cell: Int = 8, readsCaptions: Bool = true
  ) throws(UserError) {
    var maskFolder: MaskFolder?
    if let masks { maskFolder = try MaskFolder(masks) }
    let read = try PictureFolder(folder) { (url, decoded) throws(UserError) in
      try ReadPicture(
        url, decoded, mask: maskFolder?.file(of: url), buckets: buckets, fitting: fitting, alpha: alpha, cell: cell)
    }
    let all = read.pictures.map { picture in
      var value = picture.value
      (value.name, value.repeats) = (picture.path, picture.repeats)
      return value
    }
    let pictures = all.filter { !$0.views.isEmpty }
    let hidden = all.filter(\.views.isEmpty).map { (name: $0.name, reason: "its mask leaves nothing of it") }
    guard !pictures.isEmpty else {
      throw UserError(
        .badData, at: .file(folder), "the masks leave nothing of any picture", remedy: "white is what is learned")
    }
    files = pictures.map(\.url)
    var taken: Set<String> = []
    names = pictures.map { picture in
      var (name, number) = (picture.name, 1)
      while !taken.insert(name).inserted {
        number += 1
        name = "\(picture.name) (\(number))"
      }
      return name
    }
    words = pictures.map { _ in 0 }
    repeats = pictures.map(\.repeats)
    views = pictures.map(\.views)
    self.masks = pictures.map(\.mask)
    var skipped = read.skipped + hidden
    captions = zip(all, read.captions).filter { !$0.0.views.isEmpty }
      .map { Self.caption($0.1, isRead: readsCaptions, skipped: &skipped) }
    self.skipped = skipped.map { "\($0.name): \($0.reason)" }
    warnings =
      Self.passedOver(skipped) + Self.warnings(pictures, alpha: alpha)
      + (maskFolder.map { Self.warnings($0, pictures, of: all.map(\.url)) } ?? [])
  }

  /// Several concepts as one, each with its own word.
  ///
  /// - Parameter parts: the concepts' names, how often their pictures come, the numbers of their words.
  init(_ parts: [(name: String, repeats: Int, word: Int, concept: Concept)]) {
    files = parts.flatMap(\.concept.files)
    names = parts.flatMap { part in part.concept.names.map { "\(part.name)/\($0)" } }
    words = parts.flatMap { part in part.concept.files.map { _ in part.word } }
    repeats = parts.flatMap { part in part.concept.repeats.map { $0 * part.repeats } }
    views = parts.flatMap(\.concept.views)
    masks = parts.flatMap(\.concept.masks)
    captions = parts.flatMap(\.concept.captions)
    skipped = parts.flatMap { part in part.concept.skipped.map { "\(part.name)/\($0)" } }
    warnings = parts.flatMap { part in part.concept.warnings.map { "\(part.name): \($0)" } }
  }

  /// What a picture's caption says; why it says nothing goes to what is passed over.
  private static func caption(
    _ file: URL?, isRead: Bool, skipped: inout [(name: String, reason: String)]
  ) -> CaptionText? {
    guard let file else { return nil }
    let name = file.lastPathComponent
    guard isRead else {
      skipped.append((name, "captions are not read in this run"))
      return nil
    }
    do throws(UserError) {
      let text = try CaptionText(file)
      if !text.lines.isEmpty { return text }
      skipped.append((name, "an empty caption"))
    } catch { skipped.append((name, error.inside(.file(file)).message)) }
    return nil
  }
}

/// A picture out of a folder, brought to its size, and what a person may want to know of its file.
struct ReadPicture {
  let url: URL
  /// None where a mask leaves nothing of the picture.
  let views: [FittedPicture]
  let original: PictureSize
  let hasTransparency: Bool
  let traits: Set<DecodedPicture.Trait>
  let mask: URL?
  /// Whether the mask is of about the picture's shape.
  let maskFits: Bool

  /// Its path in the folder.
  var name: String
  var repeats = 1

  /// By how much the picture's sides are longer than they were, of the two the more.
  var enlargement: Double {
    guard let learned = views.first?.picture else { return 1 }
    return max(Double(learned.width) / Double(original.width), Double(learned.height) / Double(original.height))
  }

  init(
    _ url: URL, _ decoded: DecodedPicture, mask file: URL?, buckets: AspectBuckets, fitting: PictureFitting,
    alpha: AlphaUse, cell: Int
  ) throws(UserError) {
    self.url = url
    name = url.lastPathComponent
    mask = file
    original = PictureSize(width: decoded.picture.width, height: decoded.picture.height)
    hasTransparency = decoded.alpha != nil
    traits = decoded.traits
    var (weights, fits): (Mask?, Bool) = (alpha == .mask ? decoded.alpha : nil, true)
    if let file {
      let mask = Mask(try DecodedPicture(contentsOf: file))
      // A pixel more or less in one of two hundred comes of rounding.
      let stretch = Double(mask.width * original.height) / Double(mask.height * original.width)
      fits = abs(stretch - 1) < 0.005
      weights = weights?.multiplied(by: mask) ?? mask
    }
    maskFits = fits
    let picture =
      switch alpha {
      case .ignored: decoded.picture
      case .mask: decoded.over(.white)
      case .over(let color): decoded.over(color)
      }
    let size = buckets.size(width: original.width, height: original.height)
    views = FittedPicture.fitted(picture, to: size, fitting, mask: weights, cell: cell)
      .filter { $0.weights?.values.contains { $0 > 0 } ?? true }
  }
}
