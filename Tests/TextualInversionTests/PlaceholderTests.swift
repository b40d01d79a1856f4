import Tensors
import Testing
import TextualInversion

@Suite struct PlaceholderTests {
  @Test(arguments: ["", "two words"])
  func aWordIsOneWord(word: String) {
    #expect(throws: UserError.self) { try Placeholder(word, vectors: 1) }
  }

  @Test(arguments: [0, -1, 76]) func vectorsAreCounted(vectors: Int) {
    #expect(throws: UserError.self) { try Placeholder("<toy>", vectors: vectors) }
  }

  /// 77 places less start and end.
  @Test func aWordMayFillAPrompt() throws {
    #expect(try Placeholder("<toy>", vectors: 75).vectors == 75)
  }

  /// diffusers 0.42 finds a word's rows by its spelling in lower case (Tools/reference/tokenizer.py).
  @Test func whatDiffusersReadsOtherwiseIsSaid() throws {
    #expect(try Placeholder("<Toy>", vectors: 3).warnings.first?.contains("'<toy>'") == true)
    for (word, vectors) in [("<Toy>", 1), ("<toy>", 3)] {
      #expect(try Placeholder(word, vectors: vectors).warnings.isEmpty)
    }
  }
}
