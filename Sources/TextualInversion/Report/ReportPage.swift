import Foundation
import ModelFiles
import ReportStyle
import Tensors

/// A run, or several side by side, as one HTML file that needs nothing from elsewhere.
///
/// The style is `Sources/ReportStyle/report.css`. The markup is well-formed XML as well. What people named (words, prompts, files, settings) is escaped where it is
/// interpolated; nothing in a page can load or run anything but what the page itself holds.
public struct ReportPage {
  /// Where pictures come from.
  public enum Pictures: Sendable {
    /// In the page itself, no side longer than 256 pixels.
    case inline
    /// From the server that the page comes from, by their path in the run's folder.
    case served
  }

  private let runs: [RunRecord]
  private let pictures: Pictures

  /// - Parameter runs: one, or several to compare.
  public init(_ runs: [RunRecord], pictures: Pictures = .inline) {
    self.runs = runs
    self.pictures = pictures
  }

  /// The whole file.
  public var html: String {
    Self.document(title: title, head: Self.policy("img-src data:; style-src 'unsafe-inline'"), body: main).text
  }

  /// What changes in the course of a run: the part of the page that a live one asks for again.
  public var content: String { main.text }

  /// The page of a run that goes on: with buttons, and the script that asks for its content again.
  ///
  /// - Parameters:
  ///   - content: the page's, and how new it is.
  ///   - token: what the page's requests are to carry.
  ///   - nonce: what the server's `Content-Security-Policy` lets run.
  public func livePage(_ content: (text: String, revision: Int), token: String, nonce: String) -> String {
    let head: HTML = """
      <meta name="token" content="\(token)"/>
      <meta name="revision" content="\(content.revision)"/>
      <script nonce="\(nonce)" defer="" src="/live.js"></script>
      """
    let controls: HTML = """
      <nav class="controls" aria-label="The run">
      <button type="button" data-action="checkpoint">Checkpoint now</button>
      <button type="button" data-action="preview">Preview now</button>
      <button type="button" data-action="stop" class="stop">Stop</button>
      <p id="live" role="status">live</p>
      </nav>
      """
    return Self.document(
      title: title, head: head, body: "\(controls)<div id=\"content\">\(HTML(raw: content.text))</div>"
    ).text
  }

  /// `live.js`, which a live page loads.
  public static var liveScript: String { embedded(report_live_script) }

  private static func embedded(_ file: (UnsafeMutablePointer<Int>?) -> UnsafePointer<CChar>?) -> String {
    var length = 0
    let bytes = UnsafeRawBufferPointer(start: file(&length), count: length)
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func policy(_ sources: String) -> HTML {
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \(HTML(raw: sources))\"/>"
  }

  private static func document(title: String, head: HTML, body: HTML) -> HTML {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8"/>
    <meta name="viewport" content="width=device-width, initial-scale=1"/>
    <meta name="color-scheme" content="light dark"/>
    <link rel="icon" href="data:,"/>
    <title>\(title)</title>
    \(head)
    <style>\(HTML(raw: embedded(report_style)))</style>
    </head>
    <body>
    \(body)
    </body>
    </html>

    """
  }

  private var title: String {
    runs.count == 1 ? "Learning \(runs[0].words)" : "\(runs.count) runs: \(names.joined(separator: ", "))"
  }

  /// What tells the runs apart: their folders' names, with those they lie in where names are the same.
  private var names: [String] {
    runs.map { run in
      guard runs.count(where: { $0.name == run.name }) > 1 else { return run.name }
      return run.folder.url.standardizedFileURL.pathComponents.suffix(2).joined(separator: "/")
    }
  }

  private var main: HTML {
    runs.count == 1
      ? RunSections(run: runs[0], pictures: pictures).html(title)
      : ComparisonSections(runs: runs, names: names, pictures: pictures).html(title)
  }
}

/// Pieces that the pages of one run and of several have in common.
enum ReportPieces {
  /// A part of the page under its heading; nothing where there is nothing in it.
  static func section(_ title: String, _ content: HTML) -> HTML {
    content.text.isEmpty ? "" : "<section>\n<h2>\(title)</h2>\n\(content)\n</section>\n"
  }

  /// A picture with what stands below it; a line in its place where it is damaged or gone.
  static func figure(_ file: URL, alt: String, caption: String, _ pictures: ReportPage.Pictures) -> HTML {
    let source: (text: String, width: Int, height: Int)?
    switch pictures {
    case .inline: source = RecordedPicture(file)?.address
    case .served:
      let path = file.pathComponents.suffix(2).joined(separator: "/")
      source = (path.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed).map { "/\($0)" } ?? "", 0, 0)
    }
    guard let source else { return "<figure><p class=\"missing\">\(alt): can't be read</p></figure>" }
    let size: HTML = source.width > 0 ? " width=\"\(source.width)\" height=\"\(source.height)\"" : ""
    return """
      <figure><img src="\(source.text)" alt="\(alt)"\(size)/><figcaption>\(caption)</figcaption></figure>

      """
  }

  /// Names and what they are, one below the other.
  static func list(_ pairs: [(name: String, value: String)]) -> HTML {
    pairs.isEmpty
      ? "" : "<dl>\(pairs.map { pair -> HTML in "<div><dt>\(pair.name)</dt><dd>\(pair.value)</dd></div>\n" })</dl>"
  }

  /// A table whose first column names the rows. On a phone each row is a block of its own.
  static func table(_ caption: String, head: [String], rows: [[HTML]]) -> HTML {
    let cells = rows.map { row -> HTML in
      let cells = zip(head, row).enumerated().map { index, cell -> HTML in
        index == 0
          ? "<th scope=\"row\">\(cell.1)</th>" : "<td><span class=\"label\">\(cell.0)</span>\(cell.1)</td>"
      }
      return "<tr>\(cells)</tr>\n"
    }
    return """
      <table><caption>\(caption)</caption>
      <thead><tr>\(head.map { name -> HTML in "<th scope=\"col\">\(name)</th>" })</tr></thead>
      <tbody>
      \(cells)</tbody></table>
      """
  }

  /// Seconds as a person reads them.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, (0..<1e9).contains(seconds) else { return "unknown" }
    let whole = Int(seconds.rounded())
    if whole >= 3600 { return "\(whole / 3600) h \(whole / 60 % 60) min" }
    return whole >= 60 ? "\(whole / 60) min \(whole % 60) s" : String(format: "%.1f s", seconds)
  }

  static func number(_ value: Double?) -> String { value.map { String(format: "%.4g", $0) } ?? "" }

  /// A setting's name as words.
  static func words(_ name: String) -> String {
    name.replacingOccurrences(of: "_", with: " ").replacingOccurrences(of: ".", with: ": ")
  }
}
