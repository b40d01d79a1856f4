import Tensors
import Testing
import TextualInversion

@Suite struct PlaceholderTests {
  @Test func tokensAreNamedAsDiffusersNamesThem() throws {
    #expect(try Placeholder("<toy>", vectors: 1).tokens == ["<toy>"])
    #expect(try Placeholder("<toy>", vectors: 3).tokens == ["<toy>", "<toy>_1", "<toy>_2"])
  }

  @Test(arguments: [
    ("a photo of <toy>", "a photo of <toy> <toy>_1"),
    ("<toy> and <toy>!", "<toy> <toy>_1 and <toy> <toy>_1!"),
    ("only <toy>_1 here", "only <toy>_1 here"),
    ("nothing", "nothing"),
  ])
  func theBareWordStandsForAllItsTokens(prompt: String, expected: String) throws {
    #expect(try Placeholder("<toy>", vectors: 2).expanded(in: prompt) == expected)
  }

  @Test(arguments: ["", "two words"])
  func aWordIsOneWord(word: String) {
    #expect(throws: UserError.self) { try Placeholder(word, vectors: 1) }
  }

  @Test(arguments: [0, -1, 65]) func vectorsAreCounted(vectors: Int) {
    #expect(throws: UserError.self) { try Placeholder("<toy>", vectors: vectors) }
  }
}
