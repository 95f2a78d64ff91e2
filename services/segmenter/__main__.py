"""`python -m services.segmenter`: one worker of the segmenter."""

from services.segmenter.app import main

main()
