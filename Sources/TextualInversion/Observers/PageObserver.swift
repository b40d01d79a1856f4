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
    case .started: try keep("the pictures' small copies are", run) { try writePictures(run.folder) }
    case .ended where run.state.step > 0:
      try keep("report.html is", run) {
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

  /// They are there to be looked at: where they can't be written, nothing of the run is lost.
  private func keep(_ what: String, _ run: RunContext, _ body: () throws -> Void) throws {
    do { try body() } catch { try run.emit(.warned("\(what) not written: \(error)")) }
  }
}
