import Foundation
import Tensors
import Testing

@testable import TextualInversion

@Suite struct PromptTemplatesTests {
  /// The counts that diffusers' script has; every sentence takes the word once.
  @Test func everyKindHasItsSentences() {
    #expect(ConceptKind.object.templates.count == 27)
    #expect(ConceptKind.style.templates.count == 19)
    #expect(ConceptKind.style.templates.allSatisfy { $0.hasSuffix("in the style of {}") })
    for kind in ConceptKind.allCases {
      #expect(!kind.templates.isEmpty)
      for template in kind.templates {
        #expect(template.components(separatedBy: "{}").count == 2, "\(template)")
        #expect(PromptTemplates.filled(template, with: "<toy>").contains("<toy>"))
      }
    }
    #expect(PromptTemplates.filled("a photo of a {}", with: "<toy> <toy>_1") == "a photo of a <toy> <toy>_1")
  }

  static func read(_ text: String) throws -> [String] {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).txt")
    try Data(text.utf8).write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    return try PromptTemplates.read(url)
  }

  @Test func filesHoldATemplateALine() throws {
    #expect(
      try PromptTemplatesTests.read("\u{FEFF}a photo of {}\r\n\n# said of all\n  [name] on a hill  \n")
        == ["a photo of {}", "{} on a hill"])
    #expect(
      try PromptTemplatesTests.read("a [name], [filewords]\n[filewords]\n") == ["a {}, [filewords]", "[filewords]"])
  }

  @Test func badFilesAreNamed() throws {
    let line = #expect(throws: UserError.self) { try PromptTemplatesTests.read("a {}\n\na photo of a dog\n") }
    #expect(line?.kind == .badData && line?.message.contains("line 3") == true)
    for text in ["", "\n \n", "# nothing\n"] {
      let empty = #expect(throws: UserError.self) { try PromptTemplatesTests.read(text) }
      #expect(empty?.kind == .badData && empty?.message.contains("\n") == false)
    }
    let missing = #expect(throws: UserError.self) { try PromptTemplates.read(URL(fileURLWithPath: "/nowhere/t.txt")) }
    #expect(missing?.kind == .noInput)
  }
}
