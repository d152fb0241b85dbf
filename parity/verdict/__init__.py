"""From stored data to a verdict: pure statistics, the metrics of a curve, and the rules that judge a study.

Nothing here runs or imports a framework: a study can be judged again, by anyone who has its files.
"""
