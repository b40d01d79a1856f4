import Testing
import TextualInversion

@Suite struct LearningRateScheduleTests {
  /// What `diffusers.optimization.get_scheduler` (0.42) gives over 12 steps, rounded to six digits. Its `constant` with a warm-up
  /// is called `constant_with_warmup` there.
  @Test(arguments: [
    (LearningRateSchedule.constant, 0, [1.0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    (.constant, 4, [0.0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 1]),
    (
      .linear, 0,
      [1.0, 0.916667, 0.833333, 0.75, 0.666667, 0.583333, 0.5, 0.416667, 0.333333, 0.25, 0.166667, 0.083333]
    ),
    (.linear, 4, [0.0, 0.25, 0.5, 0.75, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
    (.cosine, 4, [0.0, 0.25, 0.5, 0.75, 1, 0.96194, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.03806]),
  ])
  func factorsAreDiffusers(schedule: LearningRateSchedule, warmup: Int, expected: [Double]) {
    for (step, factor) in expected.enumerated() {
      #expect(abs(schedule.factor(step: step, steps: 12, warmup: warmup) - factor) < 1e-6)
    }
  }
}
