import Foundation
import ModelFiles
import Synchronization
import Tensors

/// A run's folder: the names of its files, and the right to work in it. A folder is one run's, and one process works on it
/// at a time.
public final class RunFolder: Sendable {
  public let url: URL
  /// The run that was in the folder and is gone on with; nil for a new one.
  public let earlier: EarlierRun?

  private let isOverwriting: Bool
  private let lock = Mutex<FolderLock?>(nil)
  /// Whether `take` made the folder.
  private let isMade = Mutex(false)

  /// The learned word, as diffusers loads it.
  public var embedding: URL { url.appendingPathComponent("learned_embeds.safetensors") }
  /// Every setting, and the hashes of model and pictures.
  public var report: URL { url.appendingPathComponent("training.json") }
  /// One line a step.
  public var metrics: URL { url.appendingPathComponent("metrics.csv") }
  /// The loss curve.
  public var lossCurve: URL { url.appendingPathComponent("loss.png") }
  public var checkpoints: URL { url.appendingPathComponent("checkpoints") }

  private init(_ url: URL, earlier: EarlierRun?, isOverwriting: Bool = false) {
    self.url = url
    self.earlier = earlier
    self.isOverwriting = isOverwriting
  }

  /// The names alone, of a run that is there to be read.
  convenience init(reading url: URL) { self.init(url, earlier: nil) }

  /// A folder for a new run. Nothing is made or taken before `take`.
  ///
  /// - Parameter overwriting: whether a run that is there may be thrown away.
  /// - Throws: `UserError(.cannotCreate)` where a run is there that may not.
  public convenience init(new url: URL, overwriting: Bool = false) throws(UserError) {
    self.init(url, earlier: nil, isOverwriting: overwriting)
    try refuseAnotherRun()
  }

  /// The folder of an earlier run, to go on with it.
  ///
  /// - Parameter warn: told of a damaged checkpoint that was passed over.
  /// - Throws: `UserError(.noInput)` where there is no run, `.badData` where nothing of it can be read, `.cannotCreate`
  ///   where another process is at work on it.
  public convenience init(resuming url: URL, warn: (String) -> Void = { _ in }) throws(UserError) {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue else {
      throw missing(url, "no such folder, so no run to resume", remedy: "check the path")
    }
    let names = RunFolder(url, earlier: nil)
    guard names.checkpointFiles().count > 0 || Self.exists(names.report) else {
      throw UserError(
        .noInput, at: .file(url), "there is no run to resume: it holds no checkpoint and no training.json")
    }
    try AtomicFile.makeFolder(url)
    let lock = try FolderLock(url)
    self.init(url, earlier: try EarlierRun(names, warn: warn))
    self.lock.withLock { $0 = lock }
  }

  /// Makes the folder where it is missing, and takes it.
  ///
  /// - Throws: `UserError(.cannotCreate)` where that can't be, another process is at work in it, or one has left a run in it
  ///   meanwhile.
  public func take() throws(UserError) {
    isMade.withLock { $0 = !Self.exists(url) }
    try AtomicFile.makeFolder(url)
    let taken = try FolderLock(url)
    try refuseAnotherRun()
    lock.withLock { $0 = taken }
  }

  /// Takes the folder and, where it holds nothing yet, writes the report of the run that begins in it: from then on the run can
  /// be gone on with.
  ///
  /// - Returns: whether the folder was new or empty, so that `abandon` leaves it as it was.
  func begin(_ report: TrainingReport) throws(UserError) -> Bool {
    guard earlier == nil else { return false }
    try take()
    let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
    guard names.allSatisfy({ $0 == FolderLock.fileName }) else { return false }
    try report.write(to: self.report)
    return true
  }

  /// Throws away what an earlier run left.
  public func clear() throws(UserError) {
    let taught = (try? TrainingReport(report))?.settings.words.map(\.placeholder.word) ?? []
    let words = [embedding, secondEmbedding] + taught.map(sharedEmbedding)
    for file in [report, metrics, lossCurve] + words + checkpointFiles().map(\.url) + reportFiles {
      guard unlink(file.path) == 0 || errno == ENOENT else {
        throw UserError(.cannotCreate, at: .file(file), "can't be removed (\(String(cString: strerror(errno))))")
      }
    }
  }

  /// Leaves no trace of a run that did not come to its first file.
  func abandon() {
    lock.withLock { $0 = nil }
    unlink(report.path)
    unlink(url.appendingPathComponent(FolderLock.fileName).path)
    if isMade.withLock({ $0 }) { rmdir(url.path) }
  }

  private func refuseAnotherRun() throws(UserError) {
    guard !isOverwriting, Self.exists(embedding) || !checkpointFiles().isEmpty else { return }
    throw UserError(
      .cannotCreate, at: .file(url), "holds a run already",
      remedy: "go on with it by --resume, choose another folder, or --overwrite it")
  }

  private static func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }
}

extension RunFolder {
  private static let checkpointPrefix = "step-"
  private static let checkpointSuffix = ".safetensors"

  /// Where the checkpoint of a step goes.
  func checkpointFile(step: Int) -> URL {
    checkpoints.appendingPathComponent(Self.checkpointPrefix + String(format: "%08ld", step) + Self.checkpointSuffix)
  }

  /// The checkpoints that are there, the earliest first.
  func checkpointFiles() -> [(step: Int, url: URL)] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints.path)) ?? []
    return names.compactMap { name -> (step: Int, url: URL)? in
      guard name.hasPrefix(Self.checkpointPrefix), name.hasSuffix(Self.checkpointSuffix),
        let step = Int(name.dropFirst(Self.checkpointPrefix.count).dropLast(Self.checkpointSuffix.count))
      else { return nil }
      return (step, checkpoints.appendingPathComponent(name))
    }.sorted { $0.step < $1.step }
  }
}
