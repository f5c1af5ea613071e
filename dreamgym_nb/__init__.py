"""DreamGym, built by hand: reinforcement learning for language-model agents in a learned world.

The notebooks build each part of the method, and this package is what they build. One module is
one part: `worlds` are the real worlds, `experience_model` is the language model that imagines
them, `replay_buffer` is its memory, `dream` is the imagined world with the interface of a real
one, `agent`, `rollout` and `grpo` are the policy and its training, `loop` closes the circle.
`dreamgym_nb.course` holds what only the notebooks need.

Importing this package imports nothing heavy: each module is imported by its own name.
"""

__version__ = "0.1.0"
