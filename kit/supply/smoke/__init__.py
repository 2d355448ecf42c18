"""Smoke questions: what any model that was converted well must manage, judged by rules.

Rule of this folder: no process, no file, no network. Questions, what a right answer is, and what an
answer shows that no sound model gives.
"""
