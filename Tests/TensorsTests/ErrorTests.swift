import Foundation
import Testing

@testable import Tensors

@Suite struct ErrorTests {
  private struct Cause: Error, CustomStringConvertible { let description = "No space left on device" }

  @Test func oneLineSaysWhereWhatWhyAndWhatToDo() {
    let file = URL(fileURLWithPath: "/models/unet/config.json")
    let error = UserError(.badData, at: .key("norm_eps"), "0 is too small", remedy: "mend it", cause: Cause())
    #expect(error.message == "'norm_eps': 0 is too small (No space left on device); mend it")
    #expect(
      error.at(.file(file)).message
        == "/models/unet/config.json: 'norm_eps': 0 is too small (No space left on device); mend it")
    #expect(error.at(.file(file)).places == [.file(file), .key("norm_eps")])
    #expect(UserError(.usage, at: .option("steps"), "0 is too few").message == "--steps: 0 is too few")
    #expect(UserError(.usage, "no picture").description == "no picture")
  }

  /// Names come from files: one could draw over the terminal, or stand on many lines.
  @Test func namesOfOthersStayOnTheLine() {
    let hostile = "a\u{1B}[2Jb\nc\u{2028}d\u{7}" + String(repeating: "x", count: 1000)
    for place in [UserError.Place.tensor(hostile), .key(hostile)] {
      let message = UserError(.badData, at: place, "is missing").message
      #expect(message.hasPrefix("'a?[2Jb?c?d?xxx") && message.hasSuffix("x…': is missing") && message.count < 200)
    }
    let inner = UserError(.badData, at: .file(URL(fileURLWithPath: "/a\nb")), "says \"\r\n\"").message
    #expect(!inner.unicodeScalars.contains { $0.value < 32 } && inner.hasPrefix("/a?b: says"))
  }
}
