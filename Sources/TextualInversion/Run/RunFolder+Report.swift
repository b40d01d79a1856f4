import Foundation

/// What of a run is there to be looked at.
extension RunFolder {
  /// Everything on one page.
  public var page: URL { url.appendingPathComponent("report.html") }
  /// Pictures drawn with the word.
  public var previews: URL { url.appendingPathComponent("previews") }
  /// What was learned from, as it was cut, small.
  var learnedPictures: URL { url.appendingPathComponent("pictures") }
  /// Which words of the vocabulary lay near the word in the course of the run.
  var nearestWords: URL { url.appendingPathComponent("nearest_words.json") }
  /// Event files.
  public var tensorBoard: URL { url.appendingPathComponent("tensorboard") }

  /// Where the preview of prompt `number`, from 1, behind a step goes.
  func previewFile(step: Int, number: Int) -> URL {
    previews.appendingPathComponent(String(format: "step-%06ld-%ld.png", step, number))
  }

  /// The previews that are there, by step, then by number.
  func previewFiles() -> [(step: Int, number: Int, url: URL)] {
    files(previews).compactMap { file -> (step: Int, number: Int, url: URL)? in
      let parts = file.deletingPathExtension().lastPathComponent.split(separator: "-", omittingEmptySubsequences: false)
      guard file.pathExtension == "png", parts.count == 3, parts[0] == "step", let step = Int(parts[1]),
        let number = Int(parts[2]), step >= 0, number >= 1
      else { return nil }
      return (step, number, file)
    }.sorted { ($0.step, $0.number) < ($1.step, $1.number) }
  }

  /// Where the small copy of picture `number`, from 1, goes.
  func learnedPictureFile(_ number: Int) -> URL {
    learnedPictures.appendingPathComponent(String(format: "%02ld.png", number))
  }

  /// The small copies that are there, in their order.
  func learnedPictureFiles() -> [URL] {
    files(learnedPictures).filter {
      $0.pathExtension == "png" && Int($0.deletingPathExtension().lastPathComponent) != nil
    }.sorted { $0.lastPathComponent < $1.lastPathComponent }
  }

  /// The event files that are there.
  func eventFiles() -> [URL] {
    files(tensorBoard).filter { $0.lastPathComponent.hasPrefix("events.out.tfevents.") }
  }

  /// What `clear` takes away with a run.
  var reportFiles: [URL] { [page, nearestWords] + previewFiles().map(\.url) + learnedPictureFiles() + eventFiles() }

  private func files(_ folder: URL) -> [URL] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).map(folder.appendingPathComponent)
  }
}
