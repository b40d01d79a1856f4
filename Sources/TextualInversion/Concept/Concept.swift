import Foundation
import Images
import Tensors

/// What is taught: the pictures of one word, brought to squares.
public struct Concept: Sendable {
  /// The pictures' files, in the order of their names.
  public let files: [URL]
  /// The squares, in the same order.
  public let pictures: [Picture]
  /// Files that were passed over, with the reason: "name: reason".
  public let skipped: [String]

  /// Reads every picture of a folder.
  ///
  /// - Throws: `UserError(.noInput)` for a missing folder or one without pictures, `.badData` if none can be read.
  public init(folder: URL, resolution: Int, fitting: PictureFitting) throws(UserError) {
    let read = try PictureFolder(folder) { picture in
      (fitting == .crop ? picture.centerCropped : picture).resized(width: resolution, height: resolution)
    }
    files = read.pictures.map(\.url)
    pictures = read.pictures.map(\.value)
    skipped = read.skipped.map { "\($0.name): \($0.reason)" }
  }
}
