import Foundation
import ModelFiles
import Tensors

/// `metrics.csv`: a header, then one line a step. It says nothing of the clock, so that a resumed run's is that of an unbroken one.
public final class MetricsFile {
  public static let columns = ["step", "loss", "learning_rate", "gradient_norm", "row_norm", "loss_scale"]

  private let url: URL
  private let file: FileHandle

  /// Opens the file for the steps after `step`.
  ///
  /// - Parameter earlier: the file of the run that is gone on with; its lines up to `step` are taken over.
  /// - Throws: `UserError(.cannotCreate)` or `.inputOutput`.
  public init(_ url: URL, after step: Int, from earlier: URL?) throws(UserError) {
    self.url = url
    let header = Self.columns.joined(separator: ",") + "\n"
    let kept = earlier.map { Self.read($0).filter { $0.step <= step }.map { $0.line + "\n" }.joined() } ?? ""
    try AtomicFile.write(Data((header + kept).utf8), to: url)
    do {
      file = try FileHandle(forUpdating: url)
      try file.seekToEnd()
    } catch {
      throw UserError(.cannotCreate, "can't write \(url.path): \(error.localizedDescription)")
    }
  }

  deinit { try? file.close() }

  /// Adds a step's line.
  public func append(_ result: StepResult) throws(UserError) {
    let fields = [result.loss, result.learningRate, result.gradientNorm, result.rowNorm, result.lossScale]
    let line = "\(result.step)," + fields.map { "\($0)" }.joined(separator: ",") + "\n"
    do { try file.write(contentsOf: Data(line.utf8)) } catch {
      throw UserError(.inputOutput, "can't write \(url.path): \(error.localizedDescription)")
    }
  }

  /// The whole lines of a metrics file with their step and loss; a line that a kill cut short is left out.
  public static func read(_ url: URL) -> [(step: Int, loss: Double, line: String)] {
    guard let data = try? Data(contentsOf: url) else { return [] }
    let text = String(decoding: data, as: UTF8.self)
    return text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: ",")
      guard fields.count == columns.count, let step = Int(fields[0]), let loss = Double(fields[1]) else { return nil }
      return (step, loss, String(line))
    }
  }
}
