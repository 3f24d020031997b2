"""Training methods shared by both frameworks: schedules, whitening filters, distillation from a teacher."""
