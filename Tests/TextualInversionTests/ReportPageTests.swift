import CPUBackend
import DemoModel
import Foundation
import FoundationXML
import Images
import ModelFiles
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

/// Pages are read back by libxml2, which knows nothing of how they were made.
@Suite(.serialized) struct ReportPageTests {
  /// Elements with their attributes and the text below them, in the order of their beginnings.
  private final class Document: NSObject, XMLParserDelegate {
    struct Element {
      let name: String
      let attributes: [String: String]
      var text = ""
    }

    private(set) var elements: [Element] = []
    private var open: [Int] = []

    init(_ html: String) throws {
      super.init()
      let parser = XMLParser(data: Data(html.utf8))
      parser.delegate = self
      try #require(parser.parse(), "\(String(describing: parser.parserError)) in line \(parser.lineNumber)")
    }

    func parser(
      _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
      attributes: [String: String]
    ) {
      open.append(elements.count)
      elements.append(Element(name: name, attributes: attributes))
    }

    func parser(
      _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
    ) { open.removeLast() }

    func parser(_ parser: XMLParser, foundCharacters text: String) {
      for index in open { elements[index].text += text }
    }

    func all(_ name: String, _ attribute: String? = nil, _ value: String? = nil) -> [Element] {
      elements.filter { element in
        element.name == name && (attribute.map { element.attributes[$0] == value } ?? true)
      }
    }
  }

  private static let hostile = "\"'><script>alert(1)</script></style>&amp;\u{1}\u{FFFE}\u{FFFF}"

  /// A run whose word, prompts, pictures' names and warnings are markup.
  private func train(
    in folder: RunFolder, steps: Int = 6, seed: UInt64 = 0, word: String = "<my-cat>", pictures: URL? = nil,
    previews: PreviewPolicy = PreviewPolicy(every: 3, prompts: ["a photo of {} & a <b>dog</b>"])
  ) throws {
    var settings = try DemoRun.settings(steps: steps)
    settings.placeholder = try Placeholder(word, vectors: 2)
    settings.seed = seed
    _ = try DemoRun.make(
      folder, settings, pictures: pictures ?? DemoConcept.myCat.folder, report: ReportPolicy(previews: previews)
    ).run { event, run in
      if case .stepped(let result) = event, result.step == 2 { try run.emit(.warned(Self.hostile)) }
    }
  }

  @Test func aPageHoldsTheRunAndNothingFromElsewhere() throws {
    try TemporaryFolder.with { parent in
      let pictures = parent.appendingPathComponent("pictures")
      try FileManager.default.copyItem(at: DemoConcept.myCat.folder, to: pictures)
      try FileManager.default.moveItem(
        at: pictures.appendingPathComponent("1.png"), to: pictures.appendingPathComponent("\"onerror='alert(1)'<i>.png")
      )
      let url = parent.appendingPathComponent("run")
      try train(in: RunFolder(new: url), word: "<img/src=x>", pictures: pictures)

      let html = try String(contentsOf: url.appendingPathComponent("report.html"), encoding: .utf8)
      let page = try Document(html)
      #expect(page.all("script").isEmpty && page.all("b").isEmpty && page.all("i").isEmpty)
      #expect(page.all("h1").map(\.text) == ["Learning <img/src=x>"])
      #expect(page.all("h3").map(\.text) == ["a photo of <img/src=x> & a <b>dog</b>"])
      let warnings = page.all("ul", "class", "warnings").map(\.text)
      #expect(
        warnings.count == 1
          && warnings[0].contains(
            Self.hostile.replacingOccurrences(
              of: "[\u{1}\u{FFFE}\u{FFFF}]", with: "\u{FFFD}", options: .regularExpression))
      )
      #expect(page.all("caption").contains { $0.text.contains("each vector of <img/src=x>") })

      // Everything that a page can load is in it.
      let images = page.all("img")
      #expect(
        images.count == 5 + 3 && images.allSatisfy { $0.attributes["src"]?.hasPrefix("data:image/png;base64,") == true }
      )
      #expect(images.allSatisfy { $0.attributes["alt"]?.isEmpty == false })
      #expect(images.contains { $0.attributes["alt"] == "Training picture \"onerror='alert(1)'<i>.png" })
      #expect(
        page.elements.allSatisfy { ["data:,", nil].contains($0.attributes["href"]) && $0.attributes["style"] == nil })
      #expect(!html.contains("url(") && !html.contains("@import") && !html.contains("://"))
      #expect(page.elements.allSatisfy { $0.attributes.keys.allSatisfy { !$0.hasPrefix("on") } })

      // The previews are the run's, as they are on the disk.
      for (step, time) in [(0, "before training"), (3, "step 3"), (6, "step 6")] {
        let file = try Data(contentsOf: url.appendingPathComponent("previews/step-00000\(step)-1.png"))
        let alt = "“a photo of <img/src=x> & a <b>dog</b>”, \(time)"
        #expect(
          page.all("img", "alt", alt).map { $0.attributes["src"] } == [
            "data:image/png;base64," + file.base64EncodedString()
          ])
      }
      let titles = page.all("h2").map(\.text)
      #expect(
        titles == [
          "Warnings", "Previews", "Pictures it was learned from", "Curves", "Nearest words", "Settings",
          "Where it comes from",
        ])
    }
  }

  /// What is read off a plot's axes is what the table says.
  @Test func curvesCanBeReadOffTheirAxes() throws {
    let points = (1...30).map { (x: Double($0), y: 3 + sin(Double($0))) }
    let html = try #require(CurvePlot(title: "a < b", curves: [CurvePlot.Curve(label: "c", points: points)]).html)
    let plot = try Document(html.text)
    func number(_ element: Document.Element, _ name: String) throws -> Double {
      try #require(element.attributes[name].flatMap { Double($0) })
    }
    // Two numbers of an axis and where they stand give its scale.
    let texts = plot.all("text").filter { Double($0.text) != nil }
    let columns = try texts.filter { $0.attributes["text-anchor"] == "middle" }.map {
      (try number($0, "x"), Double($0.text)!)
    }
    let rows = try texts.filter { $0.attributes["text-anchor"] == "end" }.map {
      (try number($0, "y") - 4, Double($0.text)!)
    }
    func scale(_ marks: [(at: Double, value: Double)]) -> (Double) -> Double {
      let (a, b) = (marks[0], marks[marks.count - 1])
      return { a.value + ($0 - a.at) / (b.at - a.at) * (b.value - a.value) }
    }
    let (x, y) = (scale(columns), scale(rows))
    let drawn = try #require(plot.all("polyline").first?.attributes["points"]).split(separator: " ")
      .map { $0.split(separator: ",").compactMap { Double($0) } }
    #expect(drawn.count == 30 && plot.all("polyline").count == 1)
    for (place, point) in zip(drawn, points) {
      // A tenth of a unit of the drawing.
      #expect(abs(x(place[0]) - point.x) < 0.03 && abs(y(place[1]) - point.y) < 0.004, "\(place) for \(point)")
    }
    #expect(plot.all("figcaption").map(\.text) == ["a < b"])
    #expect(CurvePlot(title: "none", curves: [CurvePlot.Curve(label: "c", points: [(1, .nan)])]).html == nil)
  }

  @Test func severalRunsAreCompared() throws {
    try TemporaryFolder.with { parent in
      let folders = ["a", "b"].map { parent.appendingPathComponent($0) }
      try train(in: RunFolder(new: folders[0]), steps: 4)
      try train(in: RunFolder(new: folders[1]), steps: 5, seed: 7)
      let page = try Document(ReportPage(folders.map { (url) throws in try RunRecord(url) }).html)
      #expect(page.all("h1").map(\.text) == ["2 runs: a, b"])
      let rows = page.all("th", "scope", "row").map(\.text)
      #expect(rows == ["a", "b", "seed", "steps"])
      let cells = page.all("td").map(\.text)
      #expect(cells.suffix(4) == ["a0", "b7", "a4", "b5"])
      #expect(page.all("img").map { $0.attributes["alt"]?.suffix(6) } == ["step 4", "step 5"])
      // Loss, held-out loss, angle and length, each with both runs' curves.
      #expect(page.all("polyline").count == 8 && page.all("figure", "class", "plot").count == 4)

      // Of a second text encoder there are plots of its own.
      for folder in folders {
        let metrics = folder.appendingPathComponent("metrics.csv")
        let lines = try String(contentsOf: metrics, encoding: .utf8).split(separator: "\n")
        let more = lines.enumerated().map { $1 + ($0 == 0 ? ",row_angle_2,row_norm_2" : ",\($0),1") + "\n" }
        try Data(more.joined().utf8).write(to: metrics)
      }
      let both = try Document(ReportPage(folders.map { (url) throws in try RunRecord(url) }).html)
      #expect(both.all("polyline").count == 12)
      #expect(
        both.all("figcaption").map(\.text).contains("Angle from the initial rows, second text encoder, degrees"))

      let same = try Document(ReportPage([RunRecord(folders[0]), RunRecord(folders[0])]).html)
      #expect(same.all("h1")[0].text.hasSuffix("/a, \(parent.lastPathComponent)/a"))
      #expect(same.all("p").map(\.text).contains("None: the runs were asked for the same."))
    }
  }

  /// A page can be made of a folder of which only `training.json` is left, and of none at all it is refused.
  @Test func whatIsMissingIsLeftOut() throws {
    try TemporaryFolder.with { url in
      expectRefusal(.noInput, "no run to report on") { _ = try RunRecord(url) }
      try train(in: RunFolder(new: url))
      for name in ["metrics.csv", "nearest_words.json", "pictures"] {
        try FileManager.default.removeItem(at: url.appendingPathComponent(name))
      }
      try Data("none".utf8).write(to: url.appendingPathComponent("previews/step-000003-1.png"))
      let page = try Document(ReportPage([RunRecord(url)]).html)
      // Of the curves the initializer's held-out loss is left, which the report says.
      #expect(page.all("h2").map(\.text) == ["Warnings", "Previews", "Curves", "Settings", "Where it comes from"])
      #expect(page.all("polyline").isEmpty && page.all("circle").count == 1)
      #expect(page.all("img").count == 2)
      try Data("{}".utf8).write(to: url.appendingPathComponent("training.json"))
      expectRefusal(.badData, "training.json") { _ = try RunRecord(url) }
    }
  }

  /// Of a run that goes on after a stop, what was near before stands beside what is near now.
  @Test func nearestWordsGoOnWithTheRun() throws {
    try TemporaryFolder.with { url in
      let settings = try DemoRun.settings(steps: 8)
      _ = try DemoRun.make(RunFolder(new: url), settings).run { event, run in
        if case .stepped(let result) = event, result.step == 5 { run.requestStop() }
      }
      func history() -> NearestWordsHistory? {
        NearestWordsHistory.all(reading: url.appendingPathComponent("nearest_words.json")).first
      }
      func steps() throws -> [Int] {
        try #require(history()).snapshots.map(\.step)
      }
      #expect(try steps() == [0, 2, 4, 5])
      _ = try DemoRun.make(RunFolder(resuming: url), settings).run()
      #expect(try steps() == [0, 2, 4, 5, 6, 8])
      let history = try #require(history())
      // The row starts as the word 'cat' itself.
      let first = try #require(history.snapshots.first?.rows.first?.first)
      #expect(history.word == "<my-cat>" && first.piece == "cat</w>" && abs(first.cosine - 1) < 1e-6)
    }
  }

  /// Of several words and two text encoders each is told; of a file with one history alone, as earlier programs wrote it, that one.
  @Test func everyWordHasItsNearestWords() throws {
    try TemporaryFolder.with { url in
      var settings = try DemoRun.settings(steps: 2)
      settings.otherWords = [Word(try Placeholder("<b>", vectors: 2), initializer: "dog")]
      settings.templates = ["{} beside a <b>"]
      let run = try TrainingRun(
        model: DiffusersFolder(Fixtures.url("models/tiny-sdxl")), pictures: DemoConcept.myCat.folder,
        settings: settings, folder: RunFolder(new: url), makeBackend: { try CPUBackend(precision: $0) })
      #expect(try run.run() == .finished)
      let file = url.appendingPathComponent("nearest_words.json")
      let histories = NearestWordsHistory.all(reading: file)
      #expect(histories.map(\.word) == ["<my-cat>", "<b>", "<my-cat>", "<b>"])
      #expect(histories.map(\.encoder) == [.textEncoder, .textEncoder, .textEncoder2, .textEncoder2])
      #expect(histories.allSatisfy { $0.snapshots.map(\.step) == [0, 1, 2] })
      let page = try Document(ReportPage([RunRecord(url)]).html)
      #expect(page.all("caption").count == 4)
      #expect(page.all("caption").last?.text.contains("each vector of <b> (text_encoder_2)") == true)
      try Data(#"{"word": "<old>", "snapshots": [{"step": 3, "rows": [[{"piece": "cat</w>", "cosine": 0.5}]]}]}"#.utf8)
        .write(to: file)
      let old = NearestWordsHistory.all(reading: file)
      #expect(old.map(\.word) == ["<old>"] && old.map(\.encoder) == [.textEncoder])
    }
  }
}
