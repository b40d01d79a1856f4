import DemoModel
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// Prompts as `tokenize` shows them. The numbers are transformers' (Tools/reference/tokenizer.py); that texts become them is
/// tested with the tokenizer.
@Suite struct TokenizeTests {
  @Test func promptsBecomeArraysOfNumbers() throws {
    let one = try Program.run(["tokenize", "--json", "a photo of a cat"])
    #expect(one.code == 0 && one.output == "[49406,320,1125,539,320,2368,49407]\n" && one.error.isEmpty)
    let lines = Data("a striped mushroom cat\r\n\n \ncat".utf8)
    let demo = try Program.run(["tokenize", "--json", "--model", "demo"], input: lines)
    #expect(demo.output == "[740,320,734,729,672,741]\n[740,741]\n[740,741]\n[740,672,741]\n")
    // Longer than the text encoder's places: all of it.
    let long = try Program.run(["tokenize", "--json", String(repeating: "cat ", count: 100)])
    #expect(long.output == "[49406" + String(repeating: ",2368", count: 100) + ",49407]\n")
    let bad = try Program.run(["tokenize", "--json"], input: Data([0x61, 0x0A, 0xFF, 0x0A]))
    #expect(bad.code == 65 && bad.output == "[49406,320,49407]\n" && bad.error.contains("line 2"), "\(bad.output)")
  }

  @Test func piecesPlacesAndRowsAreShown() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("toy.safetensors")
      try Safetensors.write(
        [("<toy>", HostTensor([2, 128], Array(repeating: 0.01, count: 256)))], metadata: [:], to: file)
      let shown = try Program.run(["tokenize", "--model", "demo", "--embedding", file.path, "a <toy>cat"])
      let expected = """
        'a <toy>cat'
            0    740  '<|startoftext|>'
            1    320  'a</w>'
            2    742  '<toy>'
            3    743  '<toy>_1'
            4    672  'cat</w>'
            5    741  '<|endoftext|>'
        4 of 75 places

        """
      #expect(shown.output == expected, "\(shown.output)")
      let cut = try Program.run(["tokenize", String(repeating: "cat ", count: 76) + "dog"])
      #expect(
        cut.output.contains(
          "75 of 75 places; 2 tokens past the last:\n    -   2368  'cat</w>'\n    -   1929  'dog</w>'\n"))
      let weighted = try Program.run(
        ["tokenize", "--model", "demo", "--embedding", file.path, "--weights", "(a:1.5) BREAK embedding:toy"])
      #expect(
        weighted.output.contains("'a</w>'  x 1.5\n") && weighted.output.contains("chunk 2 of 2\n")
          && weighted.output.contains("    2    743  '<toy>_1'\n"), "\(weighted.output)")
    }
  }
}
