import Foundation
import ModelFiles
import Tensors

/// Keeps `metrics.csv`, a line a step. It says nothing of the clock, so that a resumed run's is that of an unbroken one.
final class MetricsObserver: RunObserver {
  private var table: MetricsTable
  private var file: FileHandle?
  private var metrics: [StepMetric] = []
  /// Whether the file lacks lines of the table, or holds others.
  private var isBehind = false
  /// The held-out loss of the step that comes next.
  private var heldOut: HeldOutLoss?

  /// - Parameters:
  ///   - folder: the run's; the lines of an earlier run are taken over up to `step`.
  ///   - step: the one that the run starts after.
  init(_ folder: RunFolder, after step: Int) {
    table = MetricsTable(reading: folder.metrics)
    table.removeSteps(after: step)
  }

  deinit { try? file?.close() }

  /// Empty in the line of a step that was not measured.
  private static let heldOutColumn = "held_out_loss"

  func observe(_ event: RunEvent, of run: RunContext) throws {
    switch event {
    case .started:
      metrics = StepMetric.all(of: run)
      table.add(
        columns: ["step"] + metrics.map(\.column) + (run.settings.heldOut.isOn ? [Self.heldOutColumn] : []))
      // What an earlier end was measured at is no regular measurement.
      table.clear(Self.heldOutColumn) { !run.settings.isHeldOutDue($0) }
      let missing = run.firstStep - table.rows.count
      if missing > 0 { try run.emit(.warned("metrics.csv lacks \(missing) of the first \(run.firstStep) steps")) }
      try open(run.folder.metrics)
    case .evaluated(let measured): heldOut = measured
    case .rolledBack(let step):
      table.removeSteps(after: step)
      isBehind = true
      try writeAgain(run)
    case .stepped(let result):
      var values = Dictionary(
        metrics.map { ($0.column, "\($0.value(result, run))") }, uniquingKeysWith: { $1 })
      values["step"] = "\(result.step)"
      if let heldOut, heldOut.step == result.step { values[Self.heldOutColumn] = "\(heldOut.loss)" }
      try append(table.append(values), run)
    case .ended where file != nil && (isBehind || isGone):
      try writeAgain(run)
    default: return
    }
  }

  /// Writes the table whole, and keeps the file open behind its last line.
  private func open(_ url: URL) throws(UserError) {
    try AtomicFile.write(Data(table.text.utf8), to: url)
    do {
      file = try FileHandle(forUpdating: url)
      try file?.seekToEnd()
    } catch {
      throw UserError(.cannotCreate, "\(url.path): can't be written (\(error.localizedDescription))")
    }
  }

  /// Whether somebody removed the file, or the whole folder, while the run goes on.
  private var isGone: Bool {
    var information = stat()
    guard let file else { return false }
    return fstat(file.fileDescriptor, &information) == 0 && information.st_nlink == 0
  }

  /// Adds a line to the file, or writes the whole table again where the file is not what it was.
  private func append(_ line: String, _ run: RunContext) throws {
    guard !isBehind, !isGone else { return try writeAgain(run) }
    let end = try? file?.offset()
    do { try file?.write(contentsOf: Data(line.utf8)) } catch {
      // A part of the line may be there.
      if let end { try? file?.truncate(atOffset: end) }
      isBehind = true
      throw UserError(.inputOutput, at: .file(run.folder.metrics), "can't be written", cause: error)
    }
  }

  private func writeAgain(_ run: RunContext) throws {
    let wasGone = isGone
    isBehind = true
    try AtomicFile.makeFolder(run.folder.url)
    try open(run.folder.metrics)
    isBehind = false
    if wasGone { try run.emit(.warned("\(run.folder.metrics.path) was removed while training: written again")) }
  }
}

/// The lines of a `metrics.csv` under the names of its header.
public struct MetricsTable: Sendable, Equatable {
  public private(set) var columns: [String] = []
  /// One value a column, as text.
  public private(set) var rows: [[String]] = []

  /// The whole lines of a file; none where there is no file. A line that a kill cut short is left out.
  public init(reading url: URL) {
    guard let data = try? Data(contentsOf: url) else { return }
    let text = String(decoding: data, as: UTF8.self)
    // A last line without its end was cut, even where all its columns are there.
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      .map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
    guard let header = lines.first, let step = header.firstIndex(of: "step") else { return }
    columns = header
    rows = lines.dropFirst().filter { $0.count == header.count && Int($0[step]) != nil }
  }

  func step(_ row: [String]) -> Int? { columns.firstIndex(of: "step").flatMap { Int(row[$0]) } }

  /// The lines as a file.
  var text: String { ([columns] + rows).map { $0.joined(separator: ",") + "\n" }.joined() }

  /// Leaves nothing in a column where the step is such.
  mutating func clear(_ name: String, where isSuch: (Int) -> Bool) {
    guard let column = columns.firstIndex(of: name) else { return }
    for index in rows.indices where step(rows[index]).map(isSuch) == true { rows[index][column] = "" }
  }

  mutating func removeSteps(after last: Int) { rows = rows.filter { (step($0) ?? .max) <= last } }

  /// Makes room for more columns; earlier lines have nothing in them.
  mutating func add(columns names: [String]) {
    let new = names.filter { !columns.contains($0) }
    columns += new
    for index in rows.indices { rows[index] += new.map { _ in "" } }
  }

  /// Adds a line, and returns it as it goes into the file.
  mutating func append(_ values: [String: String]) -> String {
    let row = columns.map { values[$0] ?? "" }
    rows.append(row)
    return row.joined(separator: ",") + "\n"
  }
}
