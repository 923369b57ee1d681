"""Judging an encoder: kNN accuracy and the quality of its neighbourhoods."""
