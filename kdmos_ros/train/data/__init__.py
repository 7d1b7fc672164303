"""What is learned from: drives, their changes, samples, teacher logits, the resumable stream."""
