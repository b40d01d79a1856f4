import ArgumentParser
import Foundation
import ModelFiles
import StableDiffusion
import Tensors
import TextualInversion

/// `ti-gpu inspect`: what a file is.
struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Says what a file is: a learned word of any tool, or a checkpoint.",
    discussion: """
        ti-gpu inspect toy.pt
        ti-gpu inspect toy.safetensors --model ./sd15

      With a model it also says which words of its vocabulary the learned rows lie nearest to.
      """)

  @Argument(help: "The file.")
  var file: PathArgument
  @Option(help: ArgumentHelp("A model to compare the word with.", valueName: "model"))
  var model: PathArgument?
  @Flag(help: "Print JSON on standard output.")
  var json = false

  func run() throws {
    let url = file.url
    let report: FileReport
    do {
      let contents = try EmbeddingContents(url)
      for note in contents.notes { Console.warn(note) }
      report = try FileReport(contents, model: model.map { try StableDiffusionModel(ModelName.source($0.text)) })
    } catch let refusal as UserError where refusal.kind == .badData {
      // What opens as no file of tensors is no more than what was said of it.
      guard let file = try? openTensorFile(url), let other = try FileReport(other: file) else { throw refusal }
      if model != nil { Console.warn("\(url.path): holds no words to compare with a model") }
      report = other
    }
    if json { return try Console.json(report) }
    for line in report.lines { try Console.result(line) }
  }
}

/// What there is to say of a file.
struct FileReport: Encodable {
  struct File: Encodable {
    let file: String
    let bytes: Int
    let sha256: String
    let shortHash: String
    let legacyHash: String?
  }

  struct Rows: Encodable {
    let encoder: Component
    let width: Int
    let norms: [Float]
    var nearest: [[NearestWords.Match]]?

    init(encoder: Component, tensor: HostTensor) {
      self.encoder = encoder
      width = tensor.shape.channels
      norms = tensor.rowNorms
    }

    /// A line a row: its number, and the words with the cosines of their angles.
    var nearestLines: [String] {
      (nearest ?? []).enumerated().map { index, matches in
        "\(index + 1)  "
          + matches.map { "\($0.piece) \(String(format: "%.3g", $0.cosine))" }.joined(separator: "  ")
      }
    }
  }

  struct Word: Encodable {
    let word: String
    let vectors: Int
    let family: String?
    let rows: [Rows]

    init(_ word: EmbeddingFile, rows: [Rows]) {
      self.word = word.word
      vectors = word.vectors
      family = word.family?.rawValue
      self.rows = rows
    }
  }

  /// `embedding`, or what else it is.
  let kind: String
  var form: String?
  var family: String?
  let files: [File]
  var words: [Word] = []
  /// How the numbers are stored.
  let types: [String]
  let metadata: [String: String]
  var tensors: Int?
  /// The numbers of all of them.
  var parameters: Int?
  /// What a checkpoint's UNet predicts.
  var prediction: Predicted?
  /// The parts that a checkpoint lacks.
  var missing: [Component]?
  /// Whether a checkpoint holds running means of its UNet's weights (EMA) beside them.
  var holdsMeans: Bool?
  private var title = ""

  struct Predicted: Encodable {
    let type: PredictionType
    let zeroTerminalSNR: Bool
    /// How that was told.
    let reason: String
  }

  private enum CodingKeys: CodingKey {
    case kind, form, family, files, words, types, metadata, tensors, parameters, prediction, missing, holdsMeans
  }

  /// Of a file of learned words.
  init(_ contents: EmbeddingContents, model: StableDiffusionModel?) throws(UserError) {
    kind = "embedding"
    form = contents.form.rawValue
    title = contents.form.title
    types = contents.types.sorted()
    metadata = contents.metadata
    files = try contents.digests().map { File($0.file, $0.digest) }
    let families = Set(contents.words.map(\.family))
    family = families.count == 1 ? families.first??.rawValue : nil
    var neighbours = model.map { VocabularyNeighbours($0) }
    for word in contents.words {
      let rows = try neighbours?.rows(of: word, count: 5)
      words.append(Word(word, rows: rows ?? word.rowsInOrder.map { Rows(encoder: $0, tensor: $1) }))
    }
  }

  /// Of a file of tensors that is none of words; nil where nothing can be said of it.
  ///
  /// - Throws: `badData` for a checkpoint that is damaged.
  init?(other file: any TensorFile) throws(UserError) {
    let other = try SingleFile.other(TensorView([file]))
    if let other {
      if other == .embedding { return nil }
      kind = other.kind
    } else {
      guard SingleFile.holdsUNet(file.names) else { return nil }
      let model = try SingleFile(file)
      kind = "a model"
      family = model.family.description
      prediction = Predicted(
        type: model.prediction.isVelocity ? .velocity : .epsilon, zeroTerminalSNR: model.prediction.hasZeroSNR,
        reason: model.prediction.reason)
      missing = model.missing
      holdsMeans = model.holdsMeans
    }
    title = kind
    types = Set(file.names.compactMap(file.typeName)).sorted()
    metadata = file.metadata
    tensors = file.names.count
    parameters = file.names.reduce(0) { sum, name in
      let (total, overflow) = sum.addingReportingOverflow(file.shape(of: name)?.count ?? 0)
      return overflow ? .max : total
    }
    files = [File(file.url, try FileDigest(checkpoint: file.url))]
  }

  /// For a person.
  var lines: [String] {
    var lines: [String] = []
    func say(_ label: String, _ text: String) {
      lines.append("  " + label.padding(toLength: 12, withPad: " ", startingAt: 0) + oneLine(text))
    }
    lines.append(files.map(\.file).joined(separator: ", "))
    say(words.isEmpty ? "kind" : "embedding", title)
    if !words.isEmpty || family != nil { say("family", family ?? "none that is known by its widths") }
    if let prediction {
      let what = prediction.type == .velocity ? "the velocity" : "the noise"
      say("predicts", what + (prediction.zeroTerminalSNR ? " with zero terminal SNR" : "") + " (\(prediction.reason))")
    }
    if let missing, !missing.isEmpty { say("lacks", missing.map { "the \($0.title)" }.joined(separator: ", ")) }
    if holdsMeans == true { say("means", "holds running means of the UNet's weights (--ema)") }
    if !types.isEmpty { say("stored as", types.joined(separator: ", ")) }
    if let tensors, let parameters { say("tensors", "\(tensors), \(parameters) numbers") }
    for word in words {
      say("word", "\(word.word), \(word.vectors) vector\(word.vectors == 1 ? "" : "s")")
      for rows in word.rows {
        let (least, most) = (rows.norms.min() ?? 0, rows.norms.max() ?? 0)
        say("", "\(rows.encoder.rawValue): \(rows.width) wide, lengths \(Self.short(least)) to \(Self.short(most))")
        for line in rows.nearestLines { say("", "  near \(line)") }
      }
    }
    for file in files {
      say("sha256", file.sha256)
      say("short hash", file.shortHash + (file.legacyHash.map { ", in older web UIs \($0)" } ?? ""))
      say("bytes", "\(file.bytes)")
    }
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      lines.append("  \(oneLine(key)) = \(oneLine(value))")
    }
    return lines
  }

  private static func short(_ value: Float) -> String { String(format: "%.3g", value) }

  /// A text out of the file on one line, and not for ever.
  private func oneLine(_ text: String) -> String {
    let line = text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : String($0) }.joined()
    return line.count > 160 ? line.prefix(160) + "…" : line
  }
}

extension FileReport.File {
  fileprivate init(_ url: URL, _ digest: FileDigest) {
    file = url.path
    bytes =
      ((try? FileManager.default.attributesOfItem(atPath: url.resolvingSymlinksInPath().path))?[.size] as? Int) ?? 0
    (sha256, shortHash, legacyHash) = (digest.sha256, digest.shortHash, digest.legacyHash)
  }
}

extension EmbeddingFile {
  /// The rows, first encoder first.
  fileprivate var rowsInOrder: [(Component, HostTensor)] {
    rows.sorted { $0.key.rawValue < $1.key.rawValue }.map { ($0.key, $0.value) }
  }
}

/// A model's vocabularies, each read once.
struct VocabularyNeighbours {
  private let model: StableDiffusionModel
  private var vocabularies: [Component: NearestWords] = [:]

  init(_ model: StableDiffusionModel) { self.model = model }

  /// A word's rows with what lies near them; a warning says where the model has none of their width.
  mutating func rows(of word: EmbeddingFile, count: Int) throws(UserError) -> [FileReport.Rows] {
    var rows: [FileReport.Rows] = []
    for (component, tensor) in word.rowsInOrder {
      var entry = FileReport.Rows(encoder: component, tensor: tensor)
      if vocabularies[component] == nil, model.shape.textComponents.contains(where: { $0.component == component }) {
        vocabularies[component] = try NearestWords(model, component)
      }
      if let vocabulary = vocabularies[component], vocabulary.width == entry.width {
        entry.nearest = vocabulary.nearest(to: tensor, count: count)
      } else {
        Console.warn(
          "'\(word.word)' has rows of width \(entry.width) for \(component.rawValue), which this model has none of")
      }
      rows.append(entry)
    }
    return rows
  }
}
