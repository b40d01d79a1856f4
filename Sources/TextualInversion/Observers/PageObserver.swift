import Foundation
import Images
import ModelFiles
import Tensors

/// Writes `report.html` at the end, whatever ended the run, and small copies of what is learned from at the start. It comes behind what
/// else keeps files: the page is made of them.
final class PageObserver: RunObserver {
  /// More pictures do not tell more.
  private static let mostPictures = 24

  private let pictures: [(name: String, picture: Picture)]

  /// - Parameter pictures: what is learned from, by the files' names.
  init(_ pictures: [(name: String, picture: Picture)]) { self.pictures = Array(pictures.prefix(Self.mostPictures)) }

  func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .started: try run.attempt("the pictures' small copies are not written") { try writePictures(run.folder) }
    case .ended where run.state.step > 0:
      try run.attempt("report.html is not written") {
        try AtomicFile.write(Data(ReportPage([RunRecord(run.folder.url)]).html.utf8), to: run.folder.page)
      }
    default: return
    }
  }

  private func writePictures(_ folder: RunFolder) throws(UserError) {
    try AtomicFile.makeFolder(folder.learnedPictures)
    for (index, picture) in pictures.enumerated() {
      let small = try picture.picture.shrunk(to: RecordedPicture.side).encodedPNG(text: ["Title": picture.name])
      try AtomicFile.write(small, to: folder.learnedPictureFile(index + 1))
    }
  }
}
